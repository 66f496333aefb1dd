"""How many requests of a deployment to have in flight: enough to keep its bottleneck busy, and little more.

By Little's law a pipeline whose bottleneck is busy, and where nothing queues, holds throughput × latency requests.
Both are measured the way BBR does it for network paths (Cardwell et al., "BBR: Congestion-Based Congestion Control",
ACM Queue 2016), in rounds that last as long as one request: the throughput is the highest answer rate of late rounds
that were full throughout, the latency is the least one of late. As a full round's latency contains the time spent in
queues, a lower limit lets them run empty for two rounds, now and then.
"""

import math
from collections import deque

GAIN = 1.25
"""Factor on the measured depth: by it the limit finds throughput that it did not allow before."""

EMPTYING_GAIN = 0.75
"""The same while the queues run empty."""

RESERVE = 2
"""Requests beyond that, which bridge the gaps of short pipelines."""

RATE_ROUNDS = 10
"""The answer rate is the highest of this many full rounds."""

FULL_ROUNDS = 40
"""After this many full rounds in a row the queues are let run empty."""

EMPTYING_ROUNDS = 2
"""For so long: one to empty them, one to measure."""


class ConcurrencyLimit:
    """The limit of one deployment. It has no clock of its own: times are told, in seconds."""

    def __init__(self, depth: float, most: int) -> None:
        """Begin with what the plan predicts.

        Args:
            depth: predicted throughput × latency, in requests.
            most: no limit is above this.
        """
        self._depth = depth
        self._most = most
        self._rates: deque[float] = deque(maxlen=RATE_ROUNDS)
        self._latencies: deque[float] = deque(maxlen=FULL_ROUNDS + EMPTYING_ROUNDS)
        self._full_rounds = 0
        self._round_began = -math.inf
        self._full = False
        self._answers = 0
        self._least = math.inf
        self._together = 1
        self._together_before: deque[int] = deque(maxlen=RATE_ROUNDS)

    @property
    def value(self) -> int:
        """How many requests may be in flight, at least one."""
        if self._emptying:
            return max(1, math.ceil(self._depth * EMPTYING_GAIN))
        # While so many are computed at once, as many must come to wait.
        reserve = RESERVE * max((self._together, *self._together_before))
        return max(1, min(self._most, math.ceil(self._depth * GAIN) + reserve))

    @property
    def answers_per_second(self) -> float | None:
        """What the bottleneck lets through, or a first idea of it; ``None`` before any answer."""
        if self._rates:
            return max(self._rates)
        least = min(self._latencies, default=0.0)
        return self._depth / least if least > 0 else None

    def answered(self, begun: float, now: float, in_flight: int, together: int = 1) -> None:
        """Take note of an answer.

        Args:
            begun: when its request was sent on its way.
            now: when it came.
            in_flight: how many requests were in flight until then, this one included.
            together: for how many requests at once a server computed, this one included; the most of all servers.
        """
        self._together = max(self._together, together)
        self._answers += 1
        self._least = min(self._least, now - begun)
        self._full = self._full and in_flight >= self.value
        if begun >= self._round_began:
            self._end_round(now)

    @property
    def _emptying(self) -> bool:
        return self._full_rounds >= FULL_ROUNDS

    def _end_round(self, now: float) -> None:
        self._latencies.append(self._least)
        if self._emptying:
            self._full_rounds = (self._full_rounds + 1) % (FULL_ROUNDS + EMPTYING_ROUNDS)
        elif self._full and now > self._round_began:
            self._full_rounds += 1
            self._rates.append(self._answers / (now - self._round_began))
        else:
            self._full_rounds = 0
        if self._rates:
            self._depth = max(self._rates) * min(self._latencies)
        self._round_began, self._full = now, True
        self._together_before.append(self._together)
        self._answers, self._least, self._together = 0, math.inf, 1
