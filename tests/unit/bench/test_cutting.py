from itertools import combinations, pairwise

import onnx
import pytest

from bench.cutting.cuts import LEAST_SHARE, narrowest_cuts
from bench.cutting.run import quick_model, run, summary
from core.graph import ModelGraph
from core.profiles import ModelProfilerSettings
from model_pool.admission import admit
from profilers.model_graph import read_graph
from tests.unit.models import residual_model


def graph() -> ModelGraph:
    data = admit(residual_model().SerializeToString(), {}).data
    return read_graph(onnx.load_model_from_string(data), "residual", ModelProfilerSettings(quantizable_count=0))


def crossing(model: ModelGraph, parts: list[frozenset[str]]) -> int:
    """Bytes over every cut, counted anew for each."""
    found = 0
    for index in range(1, len(parts)):
        before = frozenset().union(*parts[:index])
        found += sum(
            tensor.bytes
            for tensor in model.tensors
            if tensor.source in before and any(name is not None and name not in before for name in tensor.consumers)
        )
    return found


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_cuts_are_the_narrowest_of_all(parts: int) -> None:
    model = graph()
    order = [name for name in model.topological_order if name in model.by_name]
    least = LEAST_SHARE * sum(model.by_name[name].flops for name in order) / parts
    found = narrowest_cuts(model, parts)
    assert [name for part in found for name in order if name in part] == order
    options = []
    for cuts in combinations(range(1, len(order)), parts - 1):
        ends = [0, *cuts, len(order)]
        option = [frozenset(order[start:end]) for start, end in pairwise(ends)]
        if all(sum(model.by_name[name].flops for name in part) >= least for part in option):
            options.append(crossing(model, option))
    assert crossing(model, found) == min(options)


def test_the_bench_runs_and_tells_all_figures() -> None:
    found = summary(run(quick_model(), rounds=2))
    assert {"overhead_2", "overhead_4", "overhead_8", "hop_ratio"} <= found.keys()
    assert found["hop_ratio"] > 0
    for parts in (2, 4, 8):
        assert found[f"overhead_{parts}"] > -1
