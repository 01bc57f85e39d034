"""Commands that call the API."""
