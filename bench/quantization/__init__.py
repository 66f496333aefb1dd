"""Ways to int8 side by side, latency and noise, on every execution provider here: ``partita bench quantization``."""
