"""Workers and the attempts they run."""
