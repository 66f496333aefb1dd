"""How long each node of a model takes inside the whole, optimised session: the runtime's own profiler."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from core.profiles import RuntimeSettings
from core.tensors import Array
from inferencer.session import open_session, session_options
from profilers.attribution import RunNode
from profilers.node_inputs import consumed_names

_SUFFIX = "_kernel_time"


def lower_quartile(seconds: Sequence[float]) -> float:
    """A quarter of the measurements are below it; 0 where there is none."""
    return float(np.quantile(seconds, 0.25)) if seconds else 0.0


def time_nodes(
    model: bytes, runtime: RuntimeSettings, inputs: Mapping[str, Array], repetitions: int
) -> tuple[RunNode, ...]:
    """Run ``model`` under the runtime's profiler; return its optimised nodes with the lower quartile of their seconds.

    Not the median, because other programs only ever add: they hit the long nodes in most runs and the short ones in
    few, so that medians on a busy machine would overstate the long ones' share. Not the least either: a short node
    meets the rare moment in which nothing disturbs it sooner than a long one. The slow-down of ``runtime`` is not
    applied. The first run warms up and does not count.

    Raises:
        InvalidModelError: the runtime refuses the model.
    """
    with tempfile.TemporaryDirectory(prefix="partita-profile-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        options = session_options(runtime)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "times")
        options.optimized_model_filepath = str(optimized)
        session = open_session(model, runtime, options)
        for _ in range(repetitions + 1):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_bytes())
        graph = onnx.load(optimized).graph
    durations: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            durations[event["name"].removesuffix(_SUFFIX)].append(event["dur"] * 1e-6)
    return tuple(
        RunNode(
            node.name,
            tuple(dict.fromkeys(consumed_names(node))),
            tuple(filter(None, node.output)),
            lower_quartile(durations[node.name][1:]),
        )
        for node in graph.node
    )
