"""``partita bench`` itself, and what its commands share."""

from importlib.util import find_spec
from pathlib import Path

import typer

from core.errors import InvalidArgumentError

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
