"""Instances as the API reads them."""
