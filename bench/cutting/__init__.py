"""What cutting a model costs on one machine."""
