from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.profiles import RuntimeSettings
from core.tensors import TensorSpec
from profilers.energy_counters import DrawnWatts, EnergyMeter, WattsCounter, find_meter, nvml_counter, rapl_counter
from profilers.run_energy import IDLE_SECONDS, RUNNING_SECONDS, integrate, measure_run_energy
from tests.unit.models import chain_model

RANGE = 262_143_328_850


def domain(root: Path, directory: str, name: str, microjoules: int = 0) -> Path:
    path = root / directory
    path.mkdir()
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    return path


def add(path: Path, joules: float) -> None:
    now = int((path / "energy_uj").read_text()) + round(joules * 1e6)
    (path / "energy_uj").write_text(f"{now % RANGE}\n")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return domain(tmp_path, "intel-rapl:0", "package-0", RANGE - 5_000_000)


def test_packages_and_memory_count_and_their_parts_do_not_count_twice(tmp_path: Path, package: Path) -> None:
    parts = [
        domain(tmp_path, "intel-rapl:0:0", "core"),
        domain(tmp_path, "intel-rapl:1", "psys"),
        domain(tmp_path, "intel-rapl-mmio:0", "package-0"),
    ]
    memory, second = domain(tmp_path, "intel-rapl:0:1", "dram"), domain(tmp_path, "intel-rapl:2", "package-1")
    counter = rapl_counter(tmp_path)
    assert counter is not None
    for path in (package, memory, second):
        add(path, 10.0)
    for path in parts:
        add(path, 100.0)
    # The first package's counter wrapped around on the way.
    assert counter.joules() == pytest.approx(30.0)
    add(package, 2.5)
    assert counter.joules() == pytest.approx(32.5)


def test_what_cannot_be_read_is_not_there(tmp_path: Path, package: Path) -> None:
    assert rapl_counter(tmp_path / "nowhere") is None
    other = domain(tmp_path, "intel-rapl:1", "package-1")
    assert rapl_counter(tmp_path) is not None
    (other / "energy_uj").unlink()
    # Half of a machine's energy would pass for all of it.
    assert rapl_counter(tmp_path) is None
    (other / "energy_uj").write_text("none\n")
    assert rapl_counter(tmp_path) is None
    assert find_meter("CPUExecutionProvider", tmp_path) is None


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 300)), min_size=1, max_size=20))
def test_watts_are_integrated_by_trapezoids(steps: list[tuple[float, float]]) -> None:
    now, watts = 0.0, 50.0
    counter = WattsCounter("sensor", lambda: watts, lambda: now)
    total = 0.0
    for seconds, after in steps:
        total += seconds * (watts + after) / 2
        now, watts = now + seconds, after
        assert counter.joules() == pytest.approx(total)


class NvmlError(Exception):
    pass


def nvml(**functions: object) -> SimpleNamespace:
    """A driver with one device, made of the given functions."""

    def refuse(*_: object) -> None:
        raise NvmlError

    names = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage")
    basis = {"nvmlInit": lambda: None, "nvmlDeviceGetHandleByIndex": lambda index: f"gpu {index}"}
    return SimpleNamespace(NVMLError=NvmlError, **{**basis, **dict.fromkeys(names, refuse), **functions})


def test_an_accelerators_counter_is_read() -> None:
    millijoules = {"gpu 1": 7e6}
    counter = nvml_counter(nvml(nvmlDeviceGetTotalEnergyConsumption=millijoules.__getitem__), device=1)
    assert counter is not None
    millijoules["gpu 1"] += 2500
    assert counter.joules() == pytest.approx(2.5)


def test_an_accelerator_that_does_not_count_is_integrated_and_one_without_sensor_is_none() -> None:
    counter = nvml_counter(nvml(nvmlDeviceGetPowerUsage=lambda handle: 250_000))
    assert isinstance(counter, WattsCounter)
    assert counter.joules() >= 0
    assert nvml_counter(nvml()) is None

    def no_driver() -> None:
        raise NvmlError

    assert nvml_counter(nvml(nvmlInit=no_driver)) is None


def test_the_power_of_the_moment_is_the_mean_since_the_last_look(tmp_path: Path, package: Path) -> None:
    meter = find_meter("CPUExecutionProvider", tmp_path)
    assert meter is not None
    assert meter.name == "RAPL"
    now = 0.0
    drawn = DrawnWatts(meter, lambda: now)
    assert drawn.read() is None
    add(package, 30.0)
    now = 2.0
    assert drawn.read() == pytest.approx(15.0)
    add(package, 1.0)
    now = 2.1
    # Too soon: counters move in steps.
    assert drawn.read() == pytest.approx(15.0)
    now = 4.0
    assert drawn.read() == pytest.approx(0.5)


def test_energy_of_a_run_is_what_the_meter_counted_over_many(tmp_path: Path, package: Path) -> None:
    counter = rapl_counter(tmp_path)
    assert counter is not None
    now = 100.0

    def passing(seconds: float, watts: float) -> None:
        nonlocal now
        now += seconds
        add(package, seconds * watts)

    energy = integrate(
        lambda: passing(0.25, 40.0), EnergyMeter([counter]), lambda: now, lambda seconds: passing(seconds, 8.0)
    )
    assert energy is not None
    assert (energy.source, energy.meter) == ("measured", "RAPL")
    assert energy.joules == pytest.approx(10.0)
    assert energy.watts == pytest.approx(40.0)
    assert energy.idle_watts == pytest.approx(8.0)
    assert now == pytest.approx(100.0 + IDLE_SECONDS + RUNNING_SECONDS)


def test_a_meter_that_stands_still_measures_nothing(tmp_path: Path, package: Path) -> None:
    counter = rapl_counter(tmp_path)
    assert counter is not None
    now = iter(range(1000))
    assert integrate(lambda: None, EnergyMeter([counter]), lambda: float(next(now)), lambda _: None) is None


def test_nothing_is_measured_without_a_meter_or_for_a_slower_machine(tmp_path: Path, package: Path) -> None:
    model, inputs = chain_model().SerializeToString(), (TensorSpec("images", "float32", (1, 3, 12, 12)),)
    nowhere = tmp_path / "nowhere"
    assert measure_run_energy(model, inputs, RuntimeSettings(), nowhere) is None
    assert measure_run_energy(model, inputs, RuntimeSettings(slowdown=2.0), tmp_path) is None
