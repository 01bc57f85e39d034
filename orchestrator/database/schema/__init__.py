"""Tables, functions and migrations."""
