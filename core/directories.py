"""Directories whose entries survive a power cut."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Have the names in ``directory`` on disk: else a power cut may forget files that were created or renamed."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Create ``directory`` and its parents where they are missing; they are on disk when this returns."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)
