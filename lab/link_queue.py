"""One direction of a link as a queue: when a packet that comes now is out at the other end."""

from collections.abc import Callable

from lab.topology import Shape

QUEUE_SECONDS = 0.1
"""A packet that would wait for this long to be sent is dropped (drop-tail), as a real link's full buffer does."""


class LinkQueue:
    """Keeps a link's rate, delay, jitter and loss, in any unit of time that the caller's clock has.

    Packets never overtake each other: one with less jitter waits for those before it.
    """

    def __init__(self, shape: Shape, random: Callable[[], float]) -> None:
        """A link that is free.

        Args:
            shape: may be replaced at any time; packets under way keep their times.
            random: gives numbers from 0 to below 1.
        """
        self.shape = shape
        self._random = random
        self._free_at = 0.0
        self._last_arrival = 0.0

    def arrival(self, now: float, size: int) -> float | None:
        """When a packet of ``size`` bytes that comes ``now`` (seconds) arrives; ``None`` where it is lost."""
        shape = self.shape
        starts = max(now, self._free_at)
        if starts - now > QUEUE_SECONDS:
            return None
        self._free_at = starts + size / shape.bytes_per_second
        # What is lost has been sent, and taken its time.
        if shape.loss and self._random() < shape.loss:
            return None
        jitter = shape.jitter_seconds * (2 * self._random() - 1) if shape.jitter_seconds else 0.0
        self._last_arrival = max(self._last_arrival, self._free_at + shape.delay_seconds + jitter)
        return self._last_arrival
