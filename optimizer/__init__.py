"""The optimizer: from a placement problem to a plan (thesis chapter 4)."""
