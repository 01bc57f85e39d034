"""An instance on the terminal."""
