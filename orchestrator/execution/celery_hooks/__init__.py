"""The changes to a Celery app after `install(app)`: task classes and tracers."""
