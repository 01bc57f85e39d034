"""Reads and saves what one transition needs."""
