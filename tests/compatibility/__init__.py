"""Runs the execution tests on each supported version of Celery, in environments of their own."""
