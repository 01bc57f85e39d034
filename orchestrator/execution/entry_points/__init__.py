"""The modules that the product's worker and beat processes start with."""
