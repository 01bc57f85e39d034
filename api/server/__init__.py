"""gunicorn, set up for the API."""
