from dataclasses import replace

import pytest
from rich.console import Console

from core.errors import InvalidArgumentError
from core.plan import Plan
from partita.cli.plan_difference import plan_difference
from tests.unit.partita.plans import CHAIN, plan_of


def _shown(first: Plan, second: Plan) -> list[str]:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(plan_difference(first, second))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_layers_that_move_are_grouped_by_where_from_and_where_to() -> None:
    moved = {name: "cloud" if name.startswith("1.") else "device" for name in CHAIN.placement}
    second = replace(CHAIN, id="def456", placement=moved, quantized=("1.0", "2.1"))
    lines = _shown(CHAIN, second)
    assert "edge → cloud: 3 layers: 1.0, 1.1, 1.2" in lines
    assert "cloud → device: 3 layers: 2.0, 2.1, 2.2" in lines
    assert "becomes int8: 1 layer: 2.1" in lines
    assert "is no longer int8: 1 layer: 1.2" in lines
    assert lines[0].split()[-3:] == ["abc123", "def456", "change"]


def test_promises_stand_side_by_side() -> None:
    assert CHAIN.predicted is not None
    second = replace(CHAIN, predicted=replace(CHAIN.predicted, latency_seconds=0.108))
    lines = _shown(CHAIN, second)
    assert "summed latency 216 ms 108 ms -50.0%" in lines
    assert "energy 1.90 J 1.90 J +0.0%" in lines
    assert "latency – –" in lines
    assert "every layer stays where it is" in lines


def test_plans_of_different_layers_are_not_compared() -> None:
    other = plan_of(["device", "edge", "device"], [(0, 1), (1, 2)], "other")
    with pytest.raises(InvalidArgumentError, match=r"'net' .* and 'other' .* do not place the same layers"):
        plan_difference(CHAIN, other)
    with pytest.raises(InvalidArgumentError, match="infeasible"):
        plan_difference(Plan("net", "infeasible"), Plan("net", "infeasible"))
