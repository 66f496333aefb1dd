import gc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core.profiles import RuntimeSettings
from core.tensors import Array
from inferencer.session import SMALL_BYTES, Session
from tests.unit.models import SMALL_MODELS, branching_model, random_inputs, residual_model
from tests.unit.plans import run


@pytest.fixture(autouse=True, params=[0, SMALL_BYTES], ids=["used-memory", "fresh-memory"])
def small_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Both ways to bring outputs, whatever their sizes."""
    limit = int(request.param)
    monkeypatch.setattr("inferencer.session.SMALL_BYTES", limit)
    return limit


def session(model: onnx.ModelProto) -> Session:
    return Session(model.SerializeToString(), RuntimeSettings())


@pytest.mark.parametrize("model", [*(make() for make in SMALL_MODELS.values()), branching_model()])
def test_outputs_are_the_runtimes_own(model: onnx.ModelProto) -> None:
    tested = session(model)
    for seed in range(3):
        inputs = random_inputs(model, seed)
        expected = run(model.SerializeToString(), inputs)
        found = tested.run(inputs)
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert np.array_equal(found[name], array)


def test_memory_of_outputs_is_used_again_only_when_nobody_has_them(small_bytes: int) -> None:
    model = residual_model()
    tested = session(model)
    addresses = set()
    for seed in range(4):
        addresses.add(tested.run(random_inputs(model, seed))["mask"].__array_interface__["data"][0])
        gc.collect()
    # One buffer for each of the two outputs.
    assert small_bytes or len(addresses) <= 2
    kept = [tested.run(random_inputs(model, seed))["mask"][0] for seed in range(4)]
    for seed, array in enumerate(kept):
        assert np.array_equal(array, run(model.SerializeToString(), random_inputs(model, seed))["mask"][0])


def test_outputs_are_made_where_they_are_to_be(small_bytes: int) -> None:
    model = residual_model()
    places: dict[str, np.ndarray] = {}

    def memory(name: str, byte_count: int) -> np.ndarray | None:
        if name == "mask":
            places[name] = np.empty(byte_count, np.uint8)
        return places.get(name)

    outputs = session(model).run(random_inputs(model), memory)
    expected = run(model.SerializeToString(), random_inputs(model))
    for name, array in expected.items():
        assert np.array_equal(outputs[name], array)
    # Small ones are made wherever the runtime has them.
    assert [name for name, place in places.items() if np.shares_memory(place, outputs[name])] == (
        [] if small_bytes else ["mask"]
    )


def test_inputs_may_lie_in_memory_in_any_order() -> None:
    model = residual_model()
    inputs: dict[str, Array] = random_inputs(model)
    across = {name: np.asfortranarray(array) for name, array in inputs.items()}
    assert np.array_equal(session(model).run(across)["mask"], session(model).run(inputs)["mask"])


def test_a_model_that_declares_other_sizes_than_it_makes_still_runs() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "wrong",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tested = session(model)
    for _ in range(2):
        assert np.array_equal(tested.run({"x": np.array([-1, 2, 3], np.float32)})["y"], [0, 2, 3])
