"""What the times say."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.transport.compression import Sent
from bench.transport.sending import SHARED, Times

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
        compression: link → kind of tensor → how long it takes as it is and compressed.
    """

    times: dict[str, Times]
    not_shaped: str
    compression: Mapping[str, Mapping[str, Sent]] = field(default_factory=dict)

    def seconds(self, link: str, way: str, byte_count: int) -> float:
        """Median seconds there and back."""
        return statistics.median(self.times[link][way][byte_count])

    def ratio(self, link: str, way: str, byte_count: int) -> float:
        """The raw socket's time over this way's: its share of the raw socket's throughput."""
        return self.seconds(link, "raw", byte_count) / self.seconds(link, way, byte_count)

    def compressed(self) -> Iterator[dict[str, Any]]:
        """Each kind of tensor on each link: whether the planner has it compressed, and what that brings."""
        for link, kinds in self.compression.items():
            for kind, sent in kinds.items():
                yield {
                    "link": link,
                    "kind": kind,
                    "bytes": sent.byte_count,
                    "left": sent.known.ratio,
                    "chosen": sent.chosen(self.times[link]["stream"]),
                    "ratio": sent.ratio,
                }


def summary(results: Results) -> dict[str, Any]:
    """The headline figures, ``None`` where they were not measured, and all medians.

    Those without a way in their names are of the way that tensors take by default; by shared memory, large outputs and
    inputs are made there, and smaller ones are written there.
    """
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
    compression = list(results.compressed())
    # What is not compressed goes as it would without all this.
    gains = [one["ratio"] if one["chosen"] else 1.0 for one in compression]
    shaped = [link for link in links if link != LOOPBACK]
    return {
        "shaped_ratio": _least(results, shaped, "stream", THROUGHPUT_BYTES),
        "loopback_ratio": _least(results, [LOOPBACK], "stream", BULK_BYTES),
        "shared_memory_ratio": _least(results, [LOOPBACK], SHARED, BULK_BYTES),
        "shared_memory_written_ratio": _least(results, [LOOPBACK], f"{SHARED}_written", BULK_BYTES),
        "round_trip_seconds_64k": results.seconds(LOOPBACK, "stream", SMALL_BYTES),
        "grpc_shaped_ratio": _least(results, shaped, "grpc", THROUGHPUT_BYTES),
        "grpc_loopback_ratio": _least(results, [LOOPBACK], "grpc", BULK_BYTES),
        "grpc_round_trip_seconds_64k": results.seconds(LOOPBACK, "grpc", SMALL_BYTES),
        "compression_worst_ratio": min(gains, default=None),
        "compression_best_ratio": max(gains, default=None),
        "not_shaped": results.not_shaped,
        "compression": compression,
        "links": links,
    }


def _least(results: Results, links: list[str], way: str, from_bytes: int) -> float | None:
    ratios = [
        results.ratio(link, way, size) for link in links for size in results.times[link][way] if size >= from_bytes
    ]
    return min(ratios, default=None)
