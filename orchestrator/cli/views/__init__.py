"""Views of an instance on the terminal."""
