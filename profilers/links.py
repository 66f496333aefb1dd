"""What a link takes at each size, from what was measured on it."""

import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from core.errors import InvalidArgumentError
from core.profiles import MeasuredLink

_FASTEST_BYTES_PER_SECOND = 1e12
"""Given where more bytes take no longer, so that nothing of the throughput can be seen."""


def estimate_link(
    source: str,
    target: str,
    round_trips: Sequence[float],
    transfers: Sequence[tuple[int, float]],
    measured_at: float = 0.0,
    bare_round_trips: Sequence[float] = (),
) -> MeasuredLink:
    """Estimate a link's times at the sizes that were measured, so that few outliers do not count.

    The round-trip time is the median of the tiny round trips, and the time of each size the median of its transfers,
    or of several sizes together where more bytes seem to take less time: isotonic regression by least absolute
    deviations (pool adjacent violators). The throughput beyond the largest size is that of the median of the slopes
    from the other sizes, and from the tiny round trip, to the largest.

    Args:
        source: name of the sending server.
        target: name of the receiving server.
        round_trips: seconds of round trips of tiny messages.
        transfers: bytes sent and seconds until the small reply came, at several sizes.
        measured_at: seconds since 1970.
        bare_round_trips: seconds of round trips without what a component's tensor needs.

    Raises:
        InvalidArgumentError: nothing was measured, or a time or size is not positive and finite.
    """
    if not round_trips or not transfers:
        raise InvalidArgumentError(
            f"link {source} → {target}: {len(round_trips)} round trips and {len(transfers)} transfers were measured; "
            "at least one of each is needed"
        )
    values = np.array([*round_trips, *(number for transfer in transfers for number in transfer)], np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise InvalidArgumentError(
            f"link {source} → {target}: measured {list(round_trips)} and {list(transfers)}, "
            "but bytes and seconds must be positive and finite; measure again"
        )
    rtt = statistics.median(round_trips)
    times = [(float(size), max(rtt, seconds)) for size, seconds in _increasing_medians(transfers)]
    last_size, last_seconds = times[-1]
    slopes = [(last_seconds - seconds) / (last_size - size) for size, seconds in ((0.0, rtt), *times[:-1])]
    return MeasuredLink(
        source=source,
        target=target,
        bytes_per_second=1 / max(statistics.median(slopes), 1 / _FASTEST_BYTES_PER_SECOND),
        rtt_seconds=rtt,
        seconds_by_bytes=tuple(times),
        measured_at=measured_at,
        spread=_spread(transfers),
        bare_rtt_seconds=statistics.median(bare_round_trips) if bare_round_trips else 0.0,
    )


def _by_size(transfers: Iterable[tuple[int, float]]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for size, seconds in sorted(transfers):
        found.setdefault(size, []).append(seconds)
    return found


def _increasing_medians(transfers: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Sizes, increasing, and their seconds, which do not decrease."""
    pools: list[tuple[list[int], list[float]]] = []
    for size, seconds in _by_size(transfers).items():
        pools.append(([size], seconds))
        while len(pools) > 1 and statistics.median(pools[-2][1]) > statistics.median(pools[-1][1]):
            sizes, more = pools.pop()
            pools[-1] = pools[-1][0] + sizes, pools[-1][1] + more
    return [(size, statistics.median(seconds)) for sizes, seconds in pools for size in sizes]


def _spread(transfers: Sequence[tuple[int, float]]) -> float:
    """Median of |seconds / median of their size − 1|."""
    return statistics.median(
        abs(one / statistics.median(seconds) - 1) for seconds in _by_size(transfers).values() for one in seconds
    )
