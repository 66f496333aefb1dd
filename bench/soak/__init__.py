"""Requests to a cluster whose processes die, stop and lose their connections."""
