"""One step in a worker, from message to commit."""
