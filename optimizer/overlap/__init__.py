"""Plans for servers that work side by side: local search against the simulator, and proven bounds."""
