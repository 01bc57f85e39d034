"""Commands that run or prepare a server."""
