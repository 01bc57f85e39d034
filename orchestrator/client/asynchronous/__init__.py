"""The asynchronous client. `orchestrator.client.synchronous` is written from it:
``python -m tests.support.client_twin``."""
