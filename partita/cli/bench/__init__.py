"""``partita bench``: measurements that anyone can repeat, a module for each subject."""

import typer

from partita.cli.bench import batching, data_plane, planning, profiles, thesis
from partita.cli.bench.app import bench_app

__all__ = ["batching", "data_plane", "planning", "profiles", "thesis"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bench_app, name="bench")
