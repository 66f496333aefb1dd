"""What the times say."""

import statistics
from dataclasses import dataclass
from typing import Any

from bench.transport.sending import Times

LOOPBACK = "loopback"

THROUGHPUT_BYTES = 1_000_000
"""From this size on it is throughput that counts on shaped links; below, the time there and back."""

BULK_BYTES = 4_700_000
"""From this size on the processor is the limit on loopback."""

SMALL_BYTES = 2**16


@dataclass(frozen=True)
class Results:
    """Seconds of every transfer.

    Attributes:
        times: link (loopback, or its rate) → way → bytes → seconds.
        not_shaped: why there are no shaped links; empty where there are.
    """

    times: dict[str, Times]
    not_shaped: str

    def seconds(self, link: str, way: str, byte_count: int) -> float:
        """Median seconds there and back."""
        return statistics.median(self.times[link][way][byte_count])

    def ratio(self, link: str, way: str, byte_count: int) -> float:
        """The raw socket's time over this way's: its share of the raw socket's throughput."""
        return self.seconds(link, "raw", byte_count) / self.seconds(link, way, byte_count)


def summary(results: Results) -> dict[str, Any]:
    """The headline figures, ``None`` where they were not measured, and all medians."""
    links = {
        link: [
            {
                "way": way,
                "bytes": size,
                "seconds": results.seconds(link, way, size),
                "ratio": results.ratio(link, way, size),
            }
            for way, by_size in times.items()
            for size in by_size
        ]
        for link, times in results.times.items()
    }
    shaped = [link for link in links if link != LOOPBACK]
    return {
        "shaped_ratio": _least(results, shaped, "stream", THROUGHPUT_BYTES),
        "loopback_ratio": _least(results, [LOOPBACK], "stream", BULK_BYTES),
        "shared_memory_ratio": _least(results, [LOOPBACK], "shared_memory", BULK_BYTES),
        "round_trip_seconds_64k": results.seconds(LOOPBACK, "stream", SMALL_BYTES),
        "not_shaped": results.not_shaped,
        "links": links,
    }


def _least(results: Results, links: list[str], way: str, from_bytes: int) -> float | None:
    ratios = [
        results.ratio(link, way, size) for link in links for size in results.times[link][way] if size >= from_bytes
    ]
    return min(ratios, default=None)
