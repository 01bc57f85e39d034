"""Workflow secrets: lookup and encryption at rest."""
