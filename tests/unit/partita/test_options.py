import pytest

from core.errors import InvalidArgumentError
from core.tensors import TensorSpec
from partita.options import plan_request, profiler_settings, weights
from partita.results import Model

MODEL = Model("net", "ab" * 32, 10, (TensorSpec("x", "float32", (1,)),), (), 0, {})


def test_settings_not_given_are_not_sent() -> None:
    assert profiler_settings({}) is None
    assert not plan_request("net").HasField("settings")


def test_zero_quantizable_layers_is_a_setting() -> None:
    settings = profiler_settings({"quantizable_count": 0})
    assert settings is not None
    assert settings.HasField("quantizable_count")
    assert not settings.HasField("noise_samples")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (None, None)),
        ({"latency_weight": 0.25}, (0.25, 0.75)),
        ({"energy_weight": 0.25}, (0.75, 0.25)),
        ({"latency_weight": 0.5, "energy_weight": 0.6}, (0.5, 0.6)),
    ],
)
def test_one_weight_determines_the_other(options, expected) -> None:
    assert weights(options) == expected


def test_every_option_reaches_the_message() -> None:
    request = plan_request(
        MODEL,
        device="d",
        energy_weight=1.0,
        noise_limit=0.0,
        device_energy_limit_joules=2.0,
        memory_limit_bytes={"d": 5},
        layer_rules={"a*": ["d", "e"]},
        servers=["d", "e"],
        goal="throughput",
        method="ilp",
        solver="cbc",
        time_limit_seconds=3.0,
        excluded_layers=["h*"],
    )
    assert request.model == f"net@{MODEL.hash}"
    assert (request.latency_weight, request.energy_weight) == (0.0, 1.0)
    assert request.HasField("noise_limit")
    assert request.noise_limit == 0.0
    assert dict(request.memory_limit_bytes) == {"d": 5}
    assert [(rule.pattern, list(rule.servers)) for rule in request.layer_rules] == [("a*", ["d", "e"])]
    assert list(request.servers) == ["d", "e"]
    assert (request.device, request.solver, request.time_limit_seconds) == ("d", "cbc", 3.0)
    assert (request.goal, request.method) == ("throughput", "ilp")
    assert list(request.settings.excluded_layers) == ["h*"]


def test_limits_that_are_not_given_are_absent() -> None:
    request = plan_request("net")
    assert not request.HasField("noise_limit")
    assert not request.HasField("latency_weight")
    assert not request.HasField("time_limit_seconds")


@pytest.mark.parametrize(
    "options", [{"quantizable_count": -1}, {"noise_samples": -5}, {"memory_limit_bytes": {"edge": -1}}]
)
def test_negative_counts_are_refused_with_their_value(options) -> None:
    with pytest.raises(InvalidArgumentError, match="-"):
        plan_request("net", **options)
