"""The tasks of a worker's main process in addition to Celery's own."""
