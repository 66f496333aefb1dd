"""What rules for layers become in a problem."""

import pytest

from core.errors import InvalidArgumentError
from core.graph import Layer, ModelGraph, Tensor
from core.objective import Limits
from deployer.planning import PlanWishes, ruled

SERVERS = ("device", "edge", "cloud")
WIRE = "int8-wire:x"


def graph() -> ModelGraph:
    """Input → wire → first → wire → second → output."""
    return ModelGraph(
        "net",
        tuple(Layer(name) for name in (WIRE, "first", "int8-wire:t", "second")),
        (
            Tensor("x", 8, None, (WIRE,)),
            Tensor("x/rounded", 8, WIRE, ("first",)),
            Tensor("t", 8, "first", ("int8-wire:t",)),
            Tensor("t/rounded", 8, "int8-wire:t", ("second",)),
            Tensor("y", 8, "second", (None,)),
        ),
    )


def allowed(*rules: tuple[str, tuple[str, ...]]) -> dict[str, tuple[str, ...] | None]:
    return {layer.name: layer.servers for layer in ruled(graph(), PlanWishes(layer_rules=rules), SERVERS).layers}


def test_the_input_of_a_layer_that_is_kept_on_the_device_is_not_rounded_elsewhere() -> None:
    servers = allowed(("first", ("device",)))
    assert servers["first"] == servers[WIRE] == ("device",)
    assert servers["second"] is None
    assert servers["int8-wire:t"] == SERVERS


def test_a_wire_layer_runs_beside_what_is_before_or_behind_it() -> None:
    servers = allowed(("first", ("edge",)), ("second", ("cloud",)))
    assert servers[WIRE] == ("device", "edge")
    assert servers["int8-wire:t"] == ("edge", "cloud")


def test_a_rule_of_its_own_counts_more() -> None:
    assert allowed(("first", ("device",)), (WIRE, ("edge", "device")))[WIRE] == ("edge", "device")


def test_rules_for_one_layer_intersect_and_must_leave_a_server() -> None:
    assert allowed(("first", ("device", "edge")), ("f*", ("edge", "cloud")))["first"] == ("edge",)
    with pytest.raises(InvalidArgumentError, match=r"rule 'f\*' leaves layer 'first' no server"):
        allowed(("first", ("device",)), ("f*", ("edge", "cloud")))
    with pytest.raises(InvalidArgumentError, match="rule 'third' matches no layer"):
        allowed(("third", ("device",)))
    with pytest.raises(InvalidArgumentError, match="names server 'moon'"):
        allowed(("first", ("moon",)))


def test_without_any_noise_all_stays_in_float() -> None:
    model = ModelGraph("net", (Layer("first", quantizable=True),), (Tensor("x", 8, None, ("first",)),))
    assert ruled(model, PlanWishes(limits=Limits(noise=1e-9)), SERVERS).quantizable == ("first",)
    assert ruled(model, PlanWishes(limits=Limits(noise=0)), SERVERS).quantizable == ()
