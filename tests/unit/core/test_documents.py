"""Documents: what goes out comes back, and a mistake is told with its place."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import decode, dumps, encode, loads
from core.errors import InvalidDocumentError
from core.graph import Layer, ModelGraph, Tensor
from core.objective import Limits, Objective
from core.problem import LayerTime, Link, NoiseModel, NoiseTerm, Problem, Server

PROBLEM = Problem(
    ModelGraph("m", (Layer("a", "Conv", 1.5, 4, True, ("device",)),), (Tensor("x", 8, None, ("a", None)),)),
    (Server("device", 1.0, 0.0, 2.0, 10),),
    (Link("device", "device", 1e6, 0.0),),
    {"device": {"a": LayerTime(0.5, 0.25)}},
    NoiseModel(0.1, (NoiseTerm(("a",), 0.2),)),
    Objective(0.25, 0.75),
    Limits(0.5, None),
)


def test_a_problem_comes_back_as_it_went_out() -> None:
    assert loads(dumps(PROBLEM), Problem) == PROBLEM


names = st.text(max_size=8)


@given(names, names, st.floats(1e-3, 1e12), st.floats(0, 10))
def test_any_link_comes_back(source: str, target: str, rate: float, rtt: float) -> None:
    link = Link(source, target, rate, rtt)
    assert loads(dumps(link), Link) == link


def changed(path: list[str | int], value: object) -> str:
    raw = encode(PROBLEM)
    place = raw
    for step in path[:-1]:
        place = place[step]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["model", "layers", 0, "name"], 3, r"\$\.model\.layers\[0\]\.name: expected a string, got 3"),
        (["model", "layers", 0, "weight_bytes"], 1.5, r"weight_bytes: expected a whole number"),
        (["model", "layers", 0, "weight_bytes"], math.nan, r"weight_bytes: expected a whole number"),
        (["links", 0, "rtt_seconds"], math.inf, r"\$\.links\[0\]\.rtt_seconds: expected a finite number"),
        (["links", 0, "rtt_seconds"], True, r"rtt_seconds: expected a finite number"),
        (["links", 0, "target"], "moon", r"\$: links: unknown server 'moon'"),
        (["links"], {}, r"\$\.links: expected a list"),
        (["servers"], [], r"servers: at least one"),
        (["execution", "device"], [], r"\$\.execution\['device'\]: expected an object"),
        (["execution", "device", "b"], {"seconds": 1}, r"unknown layer 'b'"),
        (["execution", "device", "a"], {"seconds": -1}, r"cannot be negative"),
        (["format"], "partita/problem@2", r"\$\.format: expected 'partita/problem@1'"),
        (["objective", "latency_weight"], 0.9, r"sum to 1"),
        (["model"], KeyError, r"\$: the field 'model' is missing"),
        (["colour"], 1, r"\$: unknown field 'colour'"),
        (["model", "tensors", 0, "consumers"], ["b"], r"unknown layer 'b'"),
    ],
)
def test_a_mistake_is_told_with_its_place(path: list[str | int], value: object, message: str) -> None:
    with pytest.raises(InvalidDocumentError, match=message):
        loads(changed(path, value), Problem)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00", "nope"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidDocumentError, match="not a JSON document"):
        loads(text, Problem)


def test_a_cycle_is_named() -> None:
    layers = [{"name": "a"}, {"name": "b"}]
    tensors = [
        {"name": "x", "bytes": 1, "source": "a", "consumers": ["b"]},
        {"name": "y", "bytes": 1, "source": "b", "consumers": ["a"]},
    ]
    with pytest.raises(InvalidDocumentError, match="cycle"):
        decode({"name": "m", "layers": layers, "tensors": tensors}, ModelGraph)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_anything_else_is_a_typed_error(raw: object) -> None:
    with pytest.raises(InvalidDocumentError):
        decode(raw, Problem)
