"""How small real activations become, in float and in int8."""

import numpy as np
import onnx
import pytest

from core.documents import dumps, loads
from core.graph import Tensor
from core.profiles import ModelProfile, ModelProfilerSettings
from profilers.compression import LEAST_BYTES, measure_tensor, reference_seconds
from profilers.model_profiler import profile_model
from tests.unit.models import Builder


def relu_model() -> bytes:
    build = Builder()
    wide = build.node("Relu", build.conv("image", 3, 32))
    build.node("Sigmoid", build.conv(wide, 32, 4), result="result")
    made = build.model({"image": [1, 3, 96, 96]}, {"result": [1, 4, 96, 96]})
    return onnx.shape_inference.infer_shapes(made).SerializeToString()


def picture() -> dict[str, np.ndarray]:
    rows, columns = np.mgrid[0:96, 0:96]
    return {"image": np.stack([rows, columns, rows + columns])[None].astype(np.float32) / 255}


def noisy() -> dict[str, np.ndarray]:
    levels = np.random.default_rng(0).integers(0, 3, (1, 3, 96, 96)) / 255
    return {"image": picture()["image"] + levels.astype(np.float32)}


@pytest.fixture(scope="module")
def profile() -> ModelProfile:
    settings = ModelProfilerSettings(quantizable_count=2, wire_count=1, noise_samples=4)
    return profile_model(relu_model(), "hash", "relu", [picture(), noisy(), picture()], settings)


def test_the_tensors_that_become_smaller_are_found(profile: ModelProfile) -> None:
    assert profile.compression is not None
    wide = next(name for name in (one.name for one in profile.graph.tensors) if name.startswith("relu"))
    tensors: dict[str, Tensor] = {tensor.name: tensor for tensor in profile.graph.tensors}
    assert {"image", wide} <= profile.compression.floating.keys() <= tensors.keys()
    for name, found in profile.compression.floating.items():
        assert tensors[name].bytes >= LEAST_BYTES
        assert 0 < found.ratio < 1
        assert min(found.compress_seconds, found.decompress_seconds) >= 0
    # What the least compressible of the samples becomes counts.
    assert profile.compression.floating["image"].ratio == measure_tensor(noisy()["image"]).ratio
    assert profile.compression.floating["image"].ratio > measure_tensor(picture()["image"]).ratio
    assert profile.compression.rounded
    assert profile.compression.rounded.keys() <= {tensors[name].name for name in tensors}
    assert loads(dumps(profile), ModelProfile) == profile


def test_random_inputs_tell_nothing() -> None:
    settings = ModelProfilerSettings(quantizable_count=0)
    made = profile_model(relu_model(), "hash", "relu", [], settings)
    assert made.compression is None


def test_machines_are_compared_by_a_block_of_their_own() -> None:
    assert reference_seconds() > 0
