"""A front for tests of what is shown of it."""

from core.front import Front, FrontPoint
from core.plan import Baseline, Normalization, ParallelPrediction, Prediction


def point(seconds: float, joules: float, servers: list[str], low: float, high: float) -> FrontPoint:
    return FrontPoint(
        predicted=Prediction(seconds, joules, joules / 4, 0.05, {"device": 10, "edge": 20, "cloud": 30, "far": 40}),
        placement={f"l{index}": server for index, server in enumerate(servers)},
        quantized=("l0",),
        latency_weight_from=low,
        latency_weight_to=high,
        parallel=ParallelPrediction(seconds / 2, seconds / 4, servers[0]),
    )


FRONT = Front(
    "net",
    "complete",
    points=(
        point(1.0, 8.0, ["cloud", "edge", "device"], 0.75, 1.0),
        point(2.0, 4.0, ["edge", "far", "device", "cloud"], 0.25, 0.75),
        point(4.0, 2.0, ["device"], 0.0, 0.25),
    ),
    knee=1,
    gap=0.0,
    solve_seconds=0.25,
    normalization=Normalization(1.0, 4.0, 2.0, 8.0),
    baselines={
        "device_only": Baseline(0.5, 4.0, 2.0, "all on device"),
        "best_single_server": Baseline(0.9, 90.0, 80.0, "all on edge"),
        "best_single_cut": Baseline(),
    },
    notes=("continuing with the integer program",),
)
"""Three points, a knee, a simpler plan on the front, one far off, and one that is not feasible."""
