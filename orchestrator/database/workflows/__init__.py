"""Deployed workflow versions."""
