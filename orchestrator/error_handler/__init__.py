"""The Error Handler: its parts and where they live."""
