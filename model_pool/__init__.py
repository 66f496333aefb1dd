"""Store of models, components and profiles."""
