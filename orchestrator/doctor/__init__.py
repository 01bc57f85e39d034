"""Compares the state in Postgres with the broker and the workers, and repairs it: `orchestrator
doctor` and `GET /v1/doctor`. Only a repair changes anything."""
