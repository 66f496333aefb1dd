import pytest
from hypothesis import given, settings

from core.cost import predict
from core.problem import Problem
from optimizer.baselines import single_server_placements
from tests.unit.optimizer.strategies import problems


@settings(deadline=None, max_examples=60)
@given(problems(most_layers=8, most_quantizable=4))
def test_gains_are_what_one_int8_layer_changes(problem: Problem) -> None:
    layers = problem.model.quantizable
    for placement in single_server_placements(problem).values():
        before = predict(problem, placement, ())
        if before is None:
            continue
        latency, energy, device_energy, memory = problem.costs.gains(placement, layers)
        for index, layer in enumerate(layers):
            after = predict(problem, placement, (layer,))
            assert after is not None
            assert latency[index] == pytest.approx(after.latency_seconds - before.latency_seconds, abs=1e-9)
            assert energy[index] == pytest.approx(after.energy_joules - before.energy_joules, abs=1e-9)
            changed = after.device_energy_joules - before.device_energy_joules
            assert device_energy[index] == pytest.approx(changed, abs=1e-9)
            server = placement[layer]
            assert memory[index] == pytest.approx(after.memory_bytes[server] - before.memory_bytes[server], abs=1)
