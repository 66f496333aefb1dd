"""How long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the fraction done, 0 to 1, and what is being done now, in words."""


def no_progress(fraction: float, message: str) -> None:
    """Tell nobody."""


def part(progress: Progress, start: float, share: float) -> Progress:
    """A progress that fills ``share`` of another, from ``start`` on."""

    def step(fraction: float, message: str) -> None:
        progress(start + share * fraction, message)

    return step
