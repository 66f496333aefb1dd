"""Fast noise against the thesis's way, on the same model in one run: ``partita bench noise``."""
