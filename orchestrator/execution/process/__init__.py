"""Parts that worker and beat processes share: probes, retries, the check of the schema."""
