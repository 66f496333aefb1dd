"""Tensors of the Open Inference Protocol: raw and typed, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.errors import InvalidArgumentError, InvalidTensorError
from core.tensors import DTYPES
from partita.v1.open_inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from services.open_inference_convert import _DATATYPES, from_outputs, to_arrays

Input = ModelInferRequest.InferInputTensor
NUMBERS = sorted(DTYPES)


def test_every_datatype_of_ours_is_known() -> None:
    assert {dtype for dtype, _ in _DATATYPES.values()} == DTYPES


@given(st.sampled_from(NUMBERS).flatmap(lambda name: arrays.arrays(name, arrays.array_shapes(min_dims=0, min_side=0))))
def test_raw_arrays_come_back_as_they_went(array: np.ndarray) -> None:
    (tensor,), (data,) = from_outputs({"x": array}, [])
    request = ModelInferRequest(
        inputs=[Input(name="x", datatype=tensor.datatype, shape=tensor.shape)], raw_input_contents=[data]
    )
    found = to_arrays(request)["x"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


@given(
    st.sampled_from([name for name, (_, field) in _DATATYPES.items() if field]).flatmap(
        lambda name: st.tuples(
            st.just(name), arrays.arrays(_DATATYPES[name][0], arrays.array_shapes(min_dims=0, min_side=0))
        )
    )
)
def test_typed_arrays_are_read(given_array: tuple[str, np.ndarray]) -> None:
    datatype, array = given_array
    contents = InferTensorContents(**{_DATATYPES[datatype][1]: array.ravel().tolist()})
    request = ModelInferRequest(inputs=[Input(name="x", datatype=datatype, shape=array.shape, contents=contents)])
    found = to_arrays(request)["x"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("inputs", "raw", "message"),
    [
        ([Input(name="x", datatype="FP32", shape=[2])], [b"1234567"], "7 raw bytes came, 8"),
        ([Input(name="x", datatype="FP32", shape=[2])], [b"12345678", b""], "1 inputs, but 2 raw"),
        ([Input(name="x", datatype="FP32", shape=[2])], [], "2 values"),
        ([Input(name="x", datatype="FP32", shape=[-1])], [b"1234"], "negative"),
        ([Input(name="x", datatype="FP32", shape=[2**40, 2**40])], [b"1234"], "raw bytes came"),
        ([Input(name="x", datatype="BYTES", shape=[1])], [b"1234"], "none of BOOL"),
        ([Input(name="x", datatype="FP32", shape=[1])] * 2, [b"1234"] * 2, "twice"),
        (
            [Input(name="x", datatype="FP32", shape=[1], contents=InferTensorContents(fp32_contents=[1]))],
            [b"1234"],
            "nothing else",
        ),
        (
            [Input(name="x", datatype="INT8", shape=[1], contents=InferTensorContents(int_contents=[300]))],
            [],
            "fit the datatype",
        ),
        (
            [Input(name="x", datatype="INT8", shape=[1], contents=InferTensorContents(fp32_contents=[1]))],
            [],
            "in int_contents",
        ),
        (
            [Input(name="x", datatype="FP16", shape=[1], contents=InferTensorContents(fp32_contents=[1]))],
            [],
            "as raw bytes",
        ),
    ],
)
def test_what_does_not_fit_is_refused(inputs: list[Input], raw: list[bytes], message: str) -> None:
    with pytest.raises(InvalidTensorError, match=message):
        to_arrays(ModelInferRequest(inputs=inputs, raw_input_contents=raw))


def test_shared_memory_and_classification_are_refused() -> None:
    shared = {"shared_memory_region": InferParameter(string_param="region")}
    with pytest.raises(InvalidArgumentError, match="shared_memory_region"):
        to_arrays(ModelInferRequest(inputs=[Input(name="x", datatype="FP32", shape=[1], parameters=shared)]))
    output = ModelInferRequest.InferRequestedOutputTensor(
        name="y", parameters={"classification": InferParameter(int64_param=3)}
    )
    with pytest.raises(InvalidArgumentError, match="classification"):
        to_arrays(ModelInferRequest(outputs=[output]))


def test_only_outputs_that_are_wanted_are_sent() -> None:
    outputs = {"a": np.zeros(2, np.float32), "b": np.ones((1, 2), np.int8)}
    tensors, contents = from_outputs(outputs, ["b"])
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in tensors] == [("b", "INT8", [1, 2])]
    assert contents == [b"\1\1"]
