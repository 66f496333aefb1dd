"""The cost model against numbers worked by hand."""

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.cost import predict, violated_limit, weighted_objective
from core.documents import decode, dumps, encode, loads
from core.errors import InvalidDocumentError
from core.graph import Layer, ModelGraph, Tensor
from core.objective import Limits, Objective
from core.plan import Normalization
from core.problem import BorderTime, Compression, LayerTime, Link, NoiseModel, NoiseTerm, Problem, Server
from core.simulation import simulate
from optimizer.components import plan_components
from tests.unit.optimizer.strategies import problems

GRAPH = ModelGraph(
    "m",
    (Layer("a", weight_bytes=100, quantizable=True), Layer("b", weight_bytes=40), Layer("c", weight_bytes=8)),
    (
        Tensor("x", 1000, None, ("a",)),
        Tensor("t", 4000, "a", ("b", "c")),
        Tensor("u", 400, "b", ("c",)),
        Tensor("y", 200, "c", (None,)),
    ),
)


def problem(**changes: object) -> Problem:
    values: dict[str, object] = {
        "model": GRAPH,
        "servers": (Server("device", 2.0, 0.5, 3.0), Server("edge", 10.0, 0.0, 1.0, 60)),
        "links": (Link("device", "edge", 1e4, 0.01), Link("edge", "device", 2e4, 0.02)),
        "execution": {
            "device": {"a": LayerTime(0.4, 0.1), "b": LayerTime(0.2), "c": LayerTime(0.1)},
            "edge": {"a": LayerTime(0.04), "b": LayerTime(0.02), "c": LayerTime(0.01)},
        },
        "noise": NoiseModel(0.01, (NoiseTerm(("a",), 0.2),)),
    }
    return Problem(**{**values, **changes})  # type: ignore[arg-type]


def test_all_on_the_device_costs_its_computing() -> None:
    prediction = predict(problem(), {"a": "device", "b": "device", "c": "device"}, ())
    assert prediction is not None
    assert prediction.latency_seconds == pytest.approx(0.7)
    assert prediction.energy_joules == pytest.approx(1.4)
    assert prediction.device_energy_joules == pytest.approx(1.4)
    assert prediction.noise == 0
    assert prediction.memory_bytes == {"device": 148, "edge": 0}


def test_a_tensor_is_sent_once_to_a_server_however_many_consumers_it_has_there() -> None:
    prediction = predict(problem(), {"a": "device", "b": "edge", "c": "edge"}, ())
    assert prediction is not None
    there, back = 4000 / 1e4 + 0.01, 200 / 2e4 + 0.02
    assert prediction.latency_seconds == pytest.approx(0.4 + 0.02 + 0.01 + there + back)
    assert prediction.device_energy_joules == pytest.approx(0.4 * 2 + there * 3)
    assert prediction.energy_joules == pytest.approx(0.4 * 2 + there * 3 + 0.03 * 10 + back * 1)


def test_int8_shrinks_weights_and_what_its_layer_sends() -> None:
    prediction = predict(problem(), {"a": "device", "b": "edge", "c": "device"}, ("a",))
    assert prediction is not None
    assert prediction.latency_seconds == pytest.approx(0.1 + 0.02 + 0.1 + (1000 / 1e4 + 0.01) + (400 / 2e4 + 0.02))
    assert prediction.noise == pytest.approx(0.21)
    assert prediction.memory_bytes == {"device": 33, "edge": 40}


def test_a_listed_self_link_costs_and_a_missing_link_forbids() -> None:
    self_link = problem(links=(Link("device", "device", 1e4, 0.0),))
    prediction = predict(self_link, {"a": "device", "b": "device", "c": "device"}, ())
    assert prediction is not None
    sent = (1000 + 4000 + 400 + 200) / 1e4
    assert prediction.latency_seconds == pytest.approx(0.7 + sent)
    assert prediction.energy_joules == pytest.approx(1.4 + 0.5 * sent)
    assert predict(self_link, {"a": "device", "b": "edge", "c": "device"}, ()) is None


def test_the_first_broken_limit_is_named_with_both_values() -> None:
    placement = {"a": "edge", "b": "device", "c": "device"}
    prediction = predict(problem(), placement, ("a",))
    assert prediction is not None
    assert violated_limit(problem(), prediction) is None
    noisy = violated_limit(problem(limits=Limits(noise=0.1)), prediction)
    assert noisy is not None
    assert "0.21" in noisy
    assert "0.1" in noisy
    energy = violated_limit(problem(limits=Limits(device_energy_joules=0.5)), prediction)
    assert energy is not None
    assert "device energy" in energy
    full = predict(problem(), placement, ())
    assert full is not None
    assert "edge" in (violated_limit(problem(), full) or "")


def test_ranges_of_zero_count_as_zero() -> None:
    prediction = predict(problem(), {"a": "device", "b": "device", "c": "device"}, ())
    assert prediction is not None
    goal = problem(objective=Objective(0.5, 0.5))
    assert weighted_objective(goal, Normalization(0.7, 0.7, 0.4, 2.4), prediction) == pytest.approx(0.25)


TABLE = ((1000.0, 0.05), (4000.0, 0.08))


def test_a_table_of_times_is_interpolated_and_extrapolated_by_the_throughput() -> None:
    link = Link("device", "edge", 1e4, 0.01, TABLE)
    assert [link.seconds(size) for size in (0, 500, 1000, 2500, 4000, 5000)] == pytest.approx(
        [0.01, 0.03, 0.05, 0.065, 0.08, 0.18]
    )
    assert Link("device", "edge", 1e4, 0.01).seconds(5000) == pytest.approx(0.51)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (((1000.0, 0.05), (1000.0, 0.08)), "1000 bytes in 0.05 s to 1000 bytes"),
        (((1000.0, 0.05), (2000.0, 0.04)), "to 2000 bytes in 0.04 s"),
        (((1000.0, 0.005),), "from 0 bytes in 0.01 s to 1000 bytes in 0.005 s"),
        (((0.0, 0.01),), "bytes and seconds must increase"),
        (((1000.0,),), r"pairs \[bytes, seconds\], not \[1000.0\]"),
    ],
)
def test_a_table_that_does_not_increase_is_refused(table: tuple[tuple[float, ...], ...], words: str) -> None:
    with pytest.raises(InvalidDocumentError, match="link device → edge") as error:
        Link("device", "edge", 1e4, 0.01, table)
    assert re.search(words, str(error.value))


def test_tables_come_and_go_in_problem_files_and_old_files_mean_what_they_meant() -> None:
    with_table = problem(links=(Link("device", "edge", 1e4, 0.01, TABLE), Link("edge", "device", 2e4, 0.02)))
    assert loads(dumps(with_table), Problem) == with_table
    old = encode(problem())
    for link in old["links"]:
        del link["seconds_by_bytes"]
    assert decode(old, Problem) == problem()


@given(
    st.lists(
        st.none() | st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 64)), max_size=4), min_size=2, max_size=6
    ),
    st.lists(st.integers(0, 9000), min_size=1, max_size=4),
)
def test_the_arrays_say_what_the_links_say(tables: list[list[tuple[int, int]] | None], sizes: list[int]) -> None:
    names = [f"s{index}" for index in range(len(tables))]
    links = tuple(
        Link(
            *(name, names[index - 1], 1e4, 0.125),
            seconds_by_bytes=None if steps is None else tuple((size, 0.125 + ticks / 64) for size, ticks in _up(steps)),
        )
        for index, (name, steps) in enumerate(zip(names, tables, strict=True))
    )
    layers = (Layer("a", quantizable=True), Layer("b"))
    tensors = (Tensor("x", 1, None, ("a",)), *(Tensor(f"t{n}", size, "a", ("b",)) for n, size in enumerate(sizes)))
    given_times = {name: {"a": LayerTime(0.0), "b": LayerTime(0.0)} for name in names}
    made = Problem(ModelGraph("m", layers, tensors), tuple(map(Server, names)), links, given_times)
    [group] = [group for group in made.costs.transfers if group.tensors == len(sizes) and group.producer == 0]
    seconds = made.costs.transfer_seconds(group)
    for precision, factor in enumerate((1.0, 0.25)):
        for source, target in itertools.product(names, names):
            expected = [made.transfer_seconds(source, target, size * factor) or 0.0 for size in sizes]
            found = seconds[names.index(source), precision, names.index(target)]
            assert found == pytest.approx(sum(expected), rel=1e-9)


def _up(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The steps with increasing sizes and times."""
    return list(zip(sorted({size for size, _ in steps}), sorted(ticks for _, ticks in steps), strict=False))


def test_a_prediction_takes_each_tensors_own_time_from_the_table() -> None:
    with_table = problem(links=(Link("device", "edge", 1e4, 0.01, TABLE), Link("edge", "device", 2e4, 0.02)))
    prediction = predict(with_table, {"a": "edge", "b": "edge", "c": "edge"}, ())
    assert prediction is not None
    assert prediction.latency_seconds == pytest.approx(0.07 + 0.05 + 200 / 2e4 + 0.02)
    int8 = predict(with_table, {"a": "device", "b": "edge", "c": "edge"}, ("a",))
    assert int8 is not None
    assert int8.latency_seconds == pytest.approx(0.1 + 0.03 + 0.05 + 200 / 2e4 + 0.02)


BORDERS = {"device": {"x": BorderTime(1.0, 2.0, 3.0, 4.0)}, "edge": {"x": BorderTime(10.0, 20.0, 30.0, 40.0)}}


@pytest.mark.parametrize(("quantized", "leaving", "entering"), [((), 1.0, 20.0), (("a",), 3.0, 40.0)])
def test_a_tensor_that_crosses_leaves_one_server_and_enters_the_other(
    quantized: tuple[str, ...], leaving: float, entering: float
) -> None:
    layers = (Layer("a", quantizable=True), Layer("b"), Layer("c"))
    tensors = (Tensor("in", 8, None, ("a",)), Tensor("x", 8, "a", ("b", "c")))
    times = {layer.name: LayerTime(1.0, 1.0) for layer in layers}
    links = (Link("device", "edge", 8.0, 0.5), Link("edge", "device", 8.0, 0.5))
    servers = (Server("device", compute_watts=3.0, transmit_watts=2.0), Server("edge"))
    made = Problem(ModelGraph("m", layers, tensors), servers, links, dict.fromkeys(BORDERS, times), borders=BORDERS)
    assert loads(dumps(made), Problem) == made
    plain = replace(made, borders={})
    for placement, extra in (
        ({"a": "device", "b": "edge", "c": "edge"}, leaving + entering),
        ({"a": "device", "b": "device", "c": "edge"}, leaving + entering),
        ({"a": "device", "b": "device", "c": "device"}, 0.0),
    ):
        with_borders, without = predict(made, placement, quantized), predict(plain, placement, quantized)
        assert with_borders is not None
        assert without is not None
        assert with_borders.latency_seconds - without.latency_seconds == pytest.approx(extra)
        assert with_borders.energy_joules - without.energy_joules == pytest.approx(2 * extra)
        components = plan_components(made.model, placement, "device")
        late = simulate(made, components, quantized).latency_seconds
        assert late - simulate(plain, components, quantized).latency_seconds == pytest.approx(extra)


def sending_problem(rate: float = 8.0) -> Problem:
    layers = (Layer("a", quantizable=True), Layer("b"))
    tensors = (Tensor("in", 8, None, ("a",)), Tensor("x", 800, "a", ("b",)))
    times = {layer.name: LayerTime(1.0, 1.0) for layer in layers}
    links = (Link("device", "edge", rate, 0.5), Link("edge", "device", 2 * rate, 0.5))
    return Problem(
        ModelGraph("m", layers, tensors),
        (Server("device", transmit_watts=2.0, compression_slowness=3.0), Server("edge")),
        links,
        dict.fromkeys(("device", "edge"), times),
        compression={"x": Compression(0.5, 4.0, 2.0)},
        quantized_compression={"x": Compression(0.9, 1.0, 1.0)},
    )


def test_a_tensor_is_compressed_where_it_then_arrives_sooner() -> None:
    made = sending_problem()
    assert loads(dumps(made), Problem) == made
    plain = replace(made, compression={}, quantized_compression={})
    # Half of 100 s is saved; compressing takes 4 s on the edge, thrice that on the device, decompressing 2 s.
    for sender, receiver, gain in (("device", "edge", 50.0 - 12.0 - 2.0), ("edge", "device", 25.0 - 4.0 - 6.0)):
        tensor = made.model.tensors[1]
        assert made.compression_gain(tensor, sender, receiver, False) == pytest.approx(gain)
        with_it = made.sending_seconds(tensor, sender, receiver, False)
        without = plain.sending_seconds(tensor, sender, receiver, False)
        assert with_it is not None
        assert without is not None
        assert without - with_it == pytest.approx(gain)
        placement = {"a": sender, "b": receiver}
        smaller, larger = predict(made, placement, ()), predict(plain, placement, ())
        assert smaller is not None
        assert larger is not None
        assert larger.latency_seconds - smaller.latency_seconds == pytest.approx(gain)
        components = plan_components(made.model, placement, "device")
        saved = simulate(plain, components, ()).latency_seconds - simulate(made, components, ()).latency_seconds
        assert saved == pytest.approx(gain)


def test_a_tensor_is_sent_as_it_is_where_compressing_takes_longer_or_gains_next_to_nothing() -> None:
    fast, slow = sending_problem(1000.0), sending_problem()
    tensor = fast.model.tensors[1]
    assert fast.compression_gain(tensor, "device", "edge", False) == 0
    # 25 s as int8; a tenth less, but 4 s more.
    assert slow.compression_gain(tensor, "device", "edge", True) == 0
    assert slow.compression_gain(slow.model.tensors[0], "device", "edge", False) == 0
    assert slow.compression_gain(tensor, "edge", "edge", False) == 0


@given(problems(), st.data())
def test_compressing_never_makes_a_plan_slower(made: Problem, data: st.DataObject) -> None:
    plain = replace(made, compression={}, quantized_compression={})
    assume(all(made.allowed_servers(layer.name) for layer in made.model.layers))
    placement = {
        layer.name: data.draw(st.sampled_from(made.allowed_servers(layer.name))) for layer in made.model.layers
    }
    quantized = data.draw(st.sets(st.sampled_from(made.model.quantizable))) if made.model.quantizable else ()
    smaller, larger = predict(made, placement, quantized), predict(plain, placement, quantized)
    assert (smaller is None) == (larger is None)
    if smaller is not None and larger is not None:
        assert smaller.latency_seconds <= larger.latency_seconds + 1e-9


def test_compression_of_unknown_tensors_is_refused() -> None:
    with pytest.raises(InvalidDocumentError, match="unknown tensor 'z'"):
        replace(problem(), compression={"z": Compression(0.5, 0.0, 0.0)})
    with pytest.raises(InvalidDocumentError, match="negative"):
        Compression(-0.5, 0.0, 0.0)


@pytest.mark.parametrize(
    ("borders", "words"),
    [({"rack": {}}, "unknown server 'rack'"), ({"edge": {"z": BorderTime()}}, "unknown tensor 'z'")],
)
def test_borders_of_unknown_names_are_refused(borders: dict[str, dict[str, BorderTime]], words: str) -> None:
    with pytest.raises(InvalidDocumentError, match=words):
        replace(problem(), borders=borders)


def test_a_border_time_below_zero_is_refused() -> None:
    with pytest.raises(InvalidDocumentError, match="cannot be negative"):
        BorderTime(entering_seconds=-1.0)
