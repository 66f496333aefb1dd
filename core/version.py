"""Which Partita this is."""

from importlib import metadata


def partita_version() -> str:
    """The installed version; ``unknown`` where Partita runs from a folder that was not installed."""
    try:
        return metadata.version("partita")
    except metadata.PackageNotFoundError:
        return "unknown"
