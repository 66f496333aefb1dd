"""How fast the memory of a cluster's processes grows."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import psutil

from partita.cluster import EmbeddedCluster

SAMPLE_SECONDS = 1.0

LEAST_SAMPLES = 60
"""A shorter run of samples says nothing of growth."""

Sample = tuple[float, int]
"""When, in seconds, and bytes."""


class Memory:
    """Samples of each process's own memory (what would be freed at its end).

    Attributes:
        samples: (name, process id) → its samples.
    """

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self.samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        self._cluster = cluster

    async def watch(self, seconds: float) -> None:
        """Take samples for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, process in self._cluster.processes.items():
                try:
                    used = psutil.Process(process.pid).memory_full_info().uss
                except psutil.Error:
                    continue
                self.samples[name, process.pid].append((time.monotonic(), used))
            await asyncio.sleep(SAMPLE_SECONDS)

    def growth(self) -> dict[str, float]:
        """Bytes per hour of each process that was watched for long enough."""
        return growth_bytes_per_hour(self.samples)


def growth_bytes_per_hour(samples: Mapping[tuple[str, int], Sequence[Sample]]) -> dict[str, float]:
    """For each name the mean slope of its samples, weighted by how many there are.

    A slope is the median of the slopes between all pairs of samples (Theil and Sen): steps that happen once, as when
    an allocator takes another arena, do not pass for growth.
    """
    slopes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for (name, _), one in samples.items():
        if len(one) >= LEAST_SAMPLES:
            slopes[name].append((_slope(one), len(one)))
    return {
        name: 3600 * float(np.average([slope for slope, _ in one], weights=[count for _, count in one]))
        for name, one in sorted(slopes.items())
    }


def _slope(samples: Sequence[Sample]) -> float:
    times, used = (np.array(column, dtype=float) for column in zip(*samples, strict=True))
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((used[second] - used[first]) / (times[second] - times[first])))
