"""The console's built pages, served by the API process under ``/console``."""
