"""A deterministic simulation of the whole product, for thousands of schedules a minute.

Theory of operation. The parts that decide are the real ones: the core, the State Manager and
what follows its commits, the Task Dispatcher, the beats' chores and the watchdog. What they
stand on is simulated: the database (`tables`, `database`, `upkeep`), the broker (`broker`), the
clock and the processes (`loop`), the workers (`worker`), the beats, and clients of the API
(`client`). Every process is a handful of greenlets in one thread. A greenlet gives up control
before each statement and each message, and one seeded generator says who goes on: so every
interleaving that real processes could have can happen, and any of them can be had again from
its seed.

`faults` strikes at those same points: a statement fails before it did anything, or its reply is
lost; a process is killed there, or stopped for some leases; messages are lost, doubled, delayed,
shuffled, forged; the wall clock jumps, or stands still. `invariants` looks at every change as it
is made. When the faults are over the simulation must come to its end within a bound, and each
instance must have ended as `oracle` says, which reads the document by itself. `replay` runs each
history through the core again.

    python -m tests.simulation --seconds 60 --processes 2
    python -m tests.simulation --seed 1234
"""
