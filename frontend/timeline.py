"""When things happened on other servers, on the clock of who asked them."""

from collections.abc import Sequence
from dataclasses import replace

from core.deployment import ComponentRun


def aligned(called: float, heard: float, runs: Sequence[ComponentRun]) -> list[ComponentRun]:
    """Put the runs of one server on our clock.

    The server's part began after we had called, and its answer came after the last run had ended; in between lies a
    round trip, half of which the call is taken to have needed, as NTP does (RFC 5905, section 8).

    Args:
        called: when we called the server, in seconds.
        heard: when its answer came.
        runs: with ``start_seconds`` on the server's clock.
    """
    ended = max((run.end_seconds for run in runs), default=0.0)
    began = called + max(0.0, heard - called - ended) / 2
    return [replace(run, start_seconds=began + run.start_seconds) for run in runs]
