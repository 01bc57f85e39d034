"""What a worker's main process does besides Celery."""
