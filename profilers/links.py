"""A link's throughput and round-trip time from what was measured on it."""

import statistics
from collections.abc import Sequence

import numpy as np

from core.errors import InvalidArgumentError
from core.problem import Link

_FASTEST_BYTES_PER_SECOND = 1e12
"""Given where transfers take no longer than a tiny round trip, so that nothing of the throughput can be seen."""


def estimate_link(
    source: str, target: str, round_trips: Sequence[float], transfers: Sequence[tuple[int, float]]
) -> Link:
    """Estimate the link that predicts the measured transfers best, so that few outliers do not count.

    The round-trip time is the median of the tiny round trips. With it given, the throughput minimises the sum of
    relative errors Σ |seconds − bytes/throughput − rtt| / seconds: a weighted median, which up to half of the
    evidence may contradict. Relative, because a plan sends small tensors as well as large ones.

    Args:
        source: name of the sending server.
        target: name of the receiving server.
        round_trips: seconds of round trips of tiny messages.
        transfers: bytes sent and seconds until the small reply came, at several sizes.

    Raises:
        InvalidArgumentError: nothing was measured, or a time or size is not positive and finite.
    """
    measured = np.array(transfers, np.float64).reshape(-1, 2)
    if not round_trips or not len(measured):
        raise InvalidArgumentError(
            f"link {source} → {target}: {len(round_trips)} round trips and {len(measured)} transfers were measured; "
            "at least one of each is needed"
        )
    values = np.concatenate([measured.ravel(), np.array(round_trips, np.float64)])
    if not (np.isfinite(values) & (values > 0)).all():
        raise InvalidArgumentError(
            f"link {source} → {target}: measured {list(round_trips)} and {list(transfers)}, "
            "but bytes and seconds must be positive and finite; measure again"
        )
    rtt = statistics.median(round_trips)
    byte_counts, seconds = measured.T
    seconds_per_byte = np.maximum((seconds - rtt) / byte_counts, 1 / _FASTEST_BYTES_PER_SECOND)
    order = np.argsort(seconds_per_byte)
    weight = np.cumsum((byte_counts / seconds)[order])
    median = order[np.searchsorted(weight, weight[-1] / 2)]
    return Link(source, target, float(1 / seconds_per_byte[median]), rtt)
