"""The pictures of the pages on Partita's concepts, drawn from a real problem: ``python -m bench.concepts``."""
