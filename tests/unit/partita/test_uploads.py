import numpy as np
import pytest

from core.errors import InvalidArgumentError, InvalidTensorError
from partita.uploads import checked_arrays, load_requests, model_bytes
from services.runtime.streams import CHUNK_BYTES
from services.uploads import receive_upload


def test_a_file_gives_its_name(tmp_path) -> None:
    path = tmp_path / "net.v2.onnx"
    path.write_bytes(b"abc")
    assert model_bytes(path, None) == (b"abc", "net.v2")
    assert model_bytes(str(path), "other") == (b"abc", "other")


def test_bytes_need_a_name() -> None:
    assert model_bytes(b"abc", "net") == (b"abc", "net")
    with pytest.raises(InvalidArgumentError, match="name"):
        model_bytes(b"abc", None)


async def test_the_deployer_receives_what_was_sent() -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 128)
    samples = [
        {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.array(3, np.int64)},
        {"x": np.zeros((2, 3), np.float32), "y": np.array(4, np.int64)},
    ]

    async def stream():
        for request in load_requests(data, "net", {"x": (2, 3)}, samples):
            yield request

    upload = await receive_upload(stream(), 2**30, 2**30)
    assert (upload.name, upload.data, upload.input_shapes) == ("net", data, {"x": (2, 3)})
    assert [sample.keys() for sample in upload.samples] == [{"x", "y"}] * 2
    for sent, received in zip(samples, upload.samples, strict=True):
        for name in sent:
            np.testing.assert_array_equal(sent[name], received[name])
            assert sent[name].dtype == received[name].dtype


@pytest.mark.parametrize("value", [[1.0, 2.0], np.array(["text"]), np.array([1j])])
def test_what_cannot_travel_is_refused_by_name(value) -> None:
    with pytest.raises(InvalidTensorError, match="'x'"):
        checked_arrays({"x": value})


def test_bad_samples_and_shapes_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidTensorError, match="'x'"):
        load_requests(b"abc", "net", {}, [{"x": np.zeros(2)}, {"x": "text"}])  # type: ignore[dict-item]
    with pytest.raises(InvalidArgumentError, match="input_shapes"):
        load_requests(b"abc", "net", {"x": ("n", 3)}, [])  # type: ignore[dict-item]
