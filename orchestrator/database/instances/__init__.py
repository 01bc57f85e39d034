"""Queries of instances for the API."""
