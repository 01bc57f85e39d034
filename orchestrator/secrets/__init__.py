"""Workflow secrets: where they are read, and their encryption in the database."""
