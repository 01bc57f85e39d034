"""Schedules, timers and their due times."""
