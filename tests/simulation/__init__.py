"""A deterministic simulation of the whole product, for thousands of schedules a minute.

Theory of operation. The parts that decide are the real ones: the core, the State Manager with its
work after commits, the Task Dispatcher, the beats' maintenance jobs and the watchdog. Simulated
are the database (`tables`, `database`, `maintenance_store`), the broker (`broker`), the clock and
the processes (`simulated_clock`), the workers (`worker`), the beats, and clients of the API
(`client`). Every process is a few greenlets in one thread. A greenlet gives up control before each
statement and each message, and one seeded generator chooses which greenlet continues. So every
interleaving of real processes is possible, and its seed repeats it.

`faults` acts at the same points: a statement fails before it has an effect, or its reply is lost; a
process is killed there, or stopped for some leases; messages are lost, doubled, delayed, shuffled,
forged; the wall clock jumps or stops. `invariants` checks every change when it is made. After the
faults the simulation must come to its end within a bound, and each instance must have ended as
`oracle` computes from the document alone. `replay` runs each history through the core again.

    python -m tests.simulation --seconds 60 --processes 2
    python -m tests.simulation --seed 1234
"""
