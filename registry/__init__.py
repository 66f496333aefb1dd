"""Who takes part, and the links between them."""
