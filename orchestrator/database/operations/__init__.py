"""What operators look at and repair."""
