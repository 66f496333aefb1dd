"""Overlapping requests: what two servers answer a second against one, and against what their plan allows."""
