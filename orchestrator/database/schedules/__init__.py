"""Schedules, timers and when something is due."""
