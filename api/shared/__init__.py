"""What one process shares between requests."""
