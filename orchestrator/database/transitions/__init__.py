"""Reads and saves the rows of one transition."""
