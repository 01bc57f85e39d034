"""What our own worker and beat processes start with."""
