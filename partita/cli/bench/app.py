"""``partita bench`` itself, and what its commands share."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from core.errors import InvalidArgumentError
from core.progress import Progress
from partita.cli.output import out, progress_bar

bench_app = typer.Typer(help="Measure, on this machine.", no_args_is_help=True)


@bench_app.callback()
def _group() -> None:
    """Measure, on this machine."""


def require_writable(picture: Path) -> None:
    """Find out before an hour of measuring, not after it, that the picture cannot be drawn."""
    require_matplotlib("--picture needs")
    if not picture.parent.is_dir():
        raise InvalidArgumentError(f"--picture {picture}: there is no directory {picture.parent}")


def require_matplotlib(what: str) -> None:
    """Find out in time that nothing can be drawn; ``what`` begins the message."""
    if find_spec("matplotlib") is None:
        raise InvalidArgumentError(f"{what} matplotlib; install it with `pip install 'partita[pictures]'`")


@contextmanager
def measuring(name: str) -> Iterator[tuple[Progress, dict[str, Any]]]:
    """A progress bar for ``partita bench NAME``, and its figures, to which what the host took is added at the end."""
    from bench.stolen import StolenTime

    figures: dict[str, Any] = {}
    stolen = StolenTime()
    with progress_bar(f"bench {name}") as progress:
        yield progress, figures
    figures["stolen_share"] = stolen.share


def say_stolen(figures: dict[str, Any]) -> None:
    """Tell people how quiet the host was."""
    out.print(
        f"meanwhile the host gave other machines {figures['stolen_share']:.1%} of the processor time asked for here"
    )
