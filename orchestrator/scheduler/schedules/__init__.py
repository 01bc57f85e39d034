"""Workflow schedules: when they fire, what fires."""
