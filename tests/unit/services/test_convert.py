import pytest

from core.errors import InvalidArgumentError, InvalidDocumentError
from core.objective import Objective, SolverOptions
from core.profiles import ModelProfilerSettings, QuantizationSettings
from partita.v1 import deployer_pb2, types_pb2
from services.convert import from_profiler_settings, objective, solver_options, to_profiler_settings
from services.deployer_convert import to_wishes

HALVES = Objective(0.5, 0.5, "throughput")
ENERGY = Objective(0.0, 1.0)


@pytest.mark.parametrize(
    ("given", "default", "expected"),
    [
        (("", None, None), HALVES, HALVES),
        (("", 0.25, None), HALVES, Objective(0.25, 0.75, "throughput")),
        (("", None, 0.25), HALVES, Objective(0.75, 0.25, "throughput")),
        (("latency", None, None), HALVES, Objective(0.5, 0.5, "latency")),
        (("latency", 0.25, 0.75), HALVES, Objective(0.25, 0.75, "latency")),
        (("energy", None, None), HALVES, Objective(0.0, 1.0, "throughput")),
        (("energy", 0.0, None), HALVES, Objective(0.0, 1.0, "throughput")),
        (("throughput", None, None), ENERGY, Objective(1.0, 0.0, "throughput")),
        (("throughput", 0.0, None), ENERGY, Objective(0.0, 1.0, "throughput")),
    ],
)
def test_goal_and_weights_combine(given, default, expected) -> None:
    assert objective(*given, default) == expected


def test_an_unknown_goal_is_told_the_known_ones() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"goal 'speed' .* 'latency-sum', 'latency', 'throughput', 'energy'$"
    ):
        objective("speed", None, None)


@pytest.mark.parametrize("weights", [(0.5, None), (None, 0.5), (1.0, 0.0)])
def test_energy_as_a_goal_leaves_no_weight_for_time(weights) -> None:
    with pytest.raises(InvalidArgumentError, match="leave out the weights"):
        objective("energy", *weights)


def test_weights_must_sum_to_one() -> None:
    with pytest.raises(InvalidDocumentError, match="sum to 1"):
        objective("latency", 0.9, 0.9)


def test_methods_by_name() -> None:
    assert solver_options("", None, "") == SolverOptions()
    assert solver_options("cbc", 2.0, "ilp") == SolverOptions("cbc", 2.0, "ilp")
    with pytest.raises(InvalidDocumentError, match=r"method: expected 'exact' or 'ilp', got 'guess'"):
        solver_options("", None, "guess")


def test_a_request_for_a_plan_carries_goal_and_method() -> None:
    wishes = to_wishes(deployer_pb2.PlanRequest(model="net", goal="latency", latency_weight=0.75, method="ilp"))
    assert wishes.objective == Objective(0.75, 0.25, "latency")
    assert wishes.options == SolverOptions(method="ilp")
    plain = to_wishes(deployer_pb2.PlanRequest(model="net"))
    assert (plain.objective, plain.options) == (Objective(), SolverOptions())
    with pytest.raises(InvalidArgumentError, match="'fastest' is unknown"):
        to_wishes(deployer_pb2.PlanRequest(model="net", goal="fastest"))


@pytest.mark.parametrize(
    "settings",
    [
        ModelProfilerSettings(),
        ModelProfilerSettings(
            quantizable_count=0,
            wire_count=1,
            excluded_layers=("/head*",),
            noise_samples=7,
            noise_measure="own:noise",
            quantization=QuantizationSettings("int8", per_channel=False, calibration="entropy"),
            timing="layer-by-layer",
        ),
    ],
)
def test_profiler_settings_survive_their_message(settings) -> None:
    assert to_profiler_settings(from_profiler_settings(settings)) == settings


def test_settings_that_are_left_out_take_their_defaults() -> None:
    assert to_profiler_settings(types_pb2.ProfilerSettings()) == ModelProfilerSettings()


@pytest.mark.parametrize("name", ["calibration", "activation_type", "timing"])
def test_unknown_ways_to_quantise_are_refused(name) -> None:
    with pytest.raises(InvalidDocumentError, match=f"profiler settings.{name}: expected .* got 'best'"):
        to_profiler_settings(types_pb2.ProfilerSettings(**{name: "best"}))
