"""The exact method: placement as the least sum of small cost tables over a graph, by eliminating its variables."""
