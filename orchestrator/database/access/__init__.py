"""Permissions, secrets and the audit log."""
