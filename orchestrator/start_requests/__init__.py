"""Requests to start instances: their checks, one for the API and for starts that were submitted in
other applications' transactions, and the mover of these."""
