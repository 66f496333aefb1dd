import time

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidArgumentError
from core.profiles import ModelProfilerSettings, RuntimeSettings
from inferencer.session import run_clock
from model_pool.admission import admit
from profilers.execution import profile_execution
from profilers.layer_by_layer import rescale, time_layers
from profilers.model_profiler import profile_model
from profilers.server_monitor import fingerprint
from services.runtime.settings import read_settings
from tests.unit.models import attention_model, branching_model, random_inputs, residual_model
from tests.unit.profilers.shapes import shaped

SETTINGS = ModelProfilerSettings(noise_samples=10)
LAYER_BY_LAYER = RuntimeSettings(timing="layer-by-layer")
SECONDS = st.floats(1e-6, 10)


@settings(deadline=None)
@given(st.lists(st.tuples(SECONDS, SECONDS, st.booleans()), min_size=1, max_size=8), SECONDS, SECONDS)
def test_rescaled_times_sum_to_the_measured_wholes(layers, whole, mixed):
    floats = {str(index): one for index, (one, _, _) in enumerate(layers)}
    integers = {str(index): one for index, (_, one, chosen) in enumerate(layers) if chosen}
    times = rescale(floats, integers, whole, mixed if integers else None)
    assert sum(item.seconds for item in times.values()) == pytest.approx(whole)
    assert {name for name, item in times.items() if item.quantized_seconds is not None} == integers.keys()
    gains = sum(abs(floats[name] - seconds) for name, seconds in integers.items())
    clear = abs(sum(floats[name] - seconds for name, seconds in integers.items())) > 1e-6 * gains
    if integers and clear:
        total = sum(
            item.seconds if item.quantized_seconds is None else item.quantized_seconds for item in times.values()
        )
        assert total == pytest.approx(mixed, rel=1e-3, abs=1e-6)


def test_without_any_gain_of_the_layers_each_has_an_equal_share_of_the_whole_gain():
    times = rescale({"a": 1.0, "b": 3.0}, {"a": 1.0, "b": 3.0}, 4.0, 3.0)
    assert [item.quantized_seconds for item in times.values()] == [0.5, 2.5]


@pytest.mark.parametrize("make", [residual_model, attention_model, branching_model])
def test_every_layer_is_timed_alone(make):
    data = admit(make().SerializeToString(), {}).data
    model = onnx.load_model_from_string(data)
    profile = profile_model(data, "hash", "small", [], SETTINGS)
    floats, integers = time_layers(model, profile, RuntimeSettings(), random_inputs(model))
    assert floats.keys() == profile.graph.by_name.keys()
    assert integers.keys() == set(profile.graph.quantizable)
    assert min(*floats.values(), *integers.values(), 1.0) > 0


def test_the_setting_reaches_the_profile():
    model = shaped(residual_model()).SerializeToString()
    profile = profile_model(model, "hash", "small", [], SETTINGS)
    result = profile_execution(model, profile, "print", LAYER_BY_LAYER)
    assert sum(item.seconds for item in result.layers.values()) == pytest.approx(result.whole_seconds)
    # Nothing is fused away: every layer takes time by itself.
    assert all(item.seconds > 0 for item in result.layers.values())


def test_the_way_of_timing_is_a_setting_of_a_server_and_part_of_its_fingerprint():
    settings = read_settings(["node", "--timing=layer-by-layer"], {})
    assert settings.runtime == LAYER_BY_LAYER
    assert fingerprint(settings.runtime) != fingerprint(RuntimeSettings())
    with pytest.raises(InvalidArgumentError, match="'guessed' is none of profiler, layer-by-layer"):
        read_settings(["node"], {"PARTITA_TIMING": "guessed"})


def test_only_a_run_that_is_one_threads_own_is_timed_by_that_thread():
    assert run_clock(RuntimeSettings()) is time.thread_time
    assert run_clock(RuntimeSettings(threads=2)) is time.perf_counter
    assert run_clock(RuntimeSettings(provider="CUDAExecutionProvider")) is time.perf_counter
