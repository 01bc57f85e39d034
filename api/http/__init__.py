"""HTTP for all resources: keys, bodies, queries, problems, paging and idempotency."""
