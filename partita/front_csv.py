"""A front as a table for spreadsheets and plots."""

import csv
from pathlib import Path

from core.front import Front


def write_front_csv(front: Front, path: Path) -> None:
    """Write a row for each point, by rising latency, with a heading that names columns and units.

    ``layers_on_SERVER`` counts the layers that run there; ``overlapped_latency_seconds``, with servers at work side by
    side, is empty where it was not computed.

    Raises:
        OSError: the file cannot be written.
    """
    servers = list(front.points[0].predicted.memory_bytes) if front.points else []
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                "latency_seconds",
                "overlapped_latency_seconds",
                "energy_joules",
                "device_energy_joules",
                "noise",
                "int8_layers",
                "latency_weight_from",
                "latency_weight_to",
                "is_knee",
                *(f"layers_on_{server}" for server in servers),
            ]
        )
        for index, point in enumerate(front.points):
            placed = list(point.placement.values())
            rows.writerow(
                [
                    point.predicted.latency_seconds,
                    point.parallel.latency_seconds if point.parallel else "",
                    point.predicted.energy_joules,
                    point.predicted.device_energy_joules,
                    point.predicted.noise,
                    len(point.quantized),
                    point.latency_weight_from,
                    point.latency_weight_to,
                    int(index == front.knee),
                    *map(placed.count, servers),
                ]
            )
