"""Runs components: sessions, assembly of a request's inputs, scheduling."""
