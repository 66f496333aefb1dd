"""When things happened on other servers, on the clock of who asked them."""

from collections.abc import Iterable
from dataclasses import replace

from core.deployment import ComponentRun


def aligned(called: float, heard: Iterable[tuple[float, ComponentRun]]) -> list[ComponentRun]:
    """Put the runs of one server on our clock.

    The server's part began after we had called, and each message came after what it tells of had ended; in between
    lies a round trip, half of which the call is taken to have needed, as NTP does (RFC 5905, section 8). The message
    with the shortest round trip counts, for it waited least.

    Args:
        called: when we called the server, in seconds.
        heard: when we heard of each run, and the run with ``start_seconds`` on the server's clock.
    """
    heard = list(heard)
    round_trip = min((at - called - run.end_seconds for at, run in heard), default=0.0)
    began = called + max(0.0, round_trip) / 2
    return [replace(run, start_seconds=began + run.start_seconds) for _, run in heard]
