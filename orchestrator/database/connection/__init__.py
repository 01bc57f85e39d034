"""How processes talk to Postgres."""
