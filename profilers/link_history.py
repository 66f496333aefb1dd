"""The newest measurements of one link, and what to measure next."""

from collections import deque
from itertools import pairwise

from core.profiles import MeasuredLink
from profilers.links import estimate_link

BARE_BYTES, TINY_BYTES = 0, 1
"""Transfers of so few bytes are round trips: a bare one, and one of a component's tensor."""

PROBE_BYTES = (2**16, 2**18, 2**20, 2**22)
"""Sizes at which a link is measured."""

KEPT = 7
"""So many of the newest measurements at each size count: three outliers among them do not."""

NEEDED = 3
"""With fewer measurements at each size a link is not estimated anew: one outlier would be half of them."""

LONGEST_SECONDS = 1.0
"""Sizes that take longer are not measured again in the background: tensors would wait for that long behind them."""


class LinkHistory:
    """What was measured of the link from ``source`` to ``target``."""

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._target = target
        self._seconds: dict[int, deque[float]] = {}
        self._turn = 0
        self._measured_at = 0.0

    def add(self, byte_count: int, seconds: float, measured_at: float) -> None:
        """Take a measurement in: bytes sent, seconds until the reply, and when (seconds since 1970)."""
        self._seconds.setdefault(byte_count, deque(maxlen=KEPT)).append(seconds)
        self._measured_at = max(self._measured_at, measured_at)

    def next_byte_count(self) -> int:
        """What to send next: all sizes in turn, as far as they are not too slow.

        What was known of sizes that have become too slow is forgotten.
        """
        quick = [BARE_BYTES, TINY_BYTES, PROBE_BYTES[0]]
        for smaller, byte_count in pairwise(PROBE_BYTES):
            known = self._seconds.get(smaller)
            # A transfer takes at most in proportion to a smaller one, which has the same round trip.
            if not known or known[-1] * byte_count / smaller > LONGEST_SECONDS:
                break
            quick.append(byte_count)
        for byte_count in self._seconds.keys() - set(quick):
            del self._seconds[byte_count]
        self._turn += 1
        return quick[self._turn % len(quick)]

    @property
    def complete(self) -> bool:
        """Whether there are enough measurements for an estimate that one outlier cannot spoil."""
        sizes = self._seconds.keys() - {BARE_BYTES, TINY_BYTES}
        return bool(sizes) and TINY_BYTES in self._seconds and min(map(len, self._seconds.values())) >= NEEDED

    def estimate(self) -> MeasuredLink:
        """The link as these measurements tell it.

        Raises:
            InvalidArgumentError: there is no round trip or no transfer.
        """
        return estimate_link(
            self._source,
            self._target,
            list(self._seconds.get(TINY_BYTES, ())),
            [(size, one) for size, seconds in self._seconds.items() if size > TINY_BYTES for one in seconds],
            self._measured_at,
            list(self._seconds.get(BARE_BYTES, ())),
        )
