"""Quantises the planned layers of a model and cuts it into the components of a plan."""
