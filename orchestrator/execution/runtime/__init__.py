"""The state of a worker's process: its ids, its attempts in flight, its continuation rules."""
