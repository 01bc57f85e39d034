"""gunicorn, configured for the API."""
