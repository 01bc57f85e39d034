"""One step in a worker, from its message to the commit of its end."""
