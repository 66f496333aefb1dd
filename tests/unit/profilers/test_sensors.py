from types import SimpleNamespace

import pytest

from profilers.sensors import battery_level, processor_celsius, read_battery, read_temperatures


def sensor(*celsius: float) -> list[SimpleNamespace]:
    return [SimpleNamespace(label="", current=value, high=None, critical=None) for value in celsius]


@pytest.mark.parametrize(
    ("sensors", "expected"),
    [
        ({}, None),
        ({"nvme": sensor(45.0), "iwlwifi_1": sensor(60.0)}, None),
        ({"nvme": sensor(70.0), "coretemp": sensor(51.0, 48.0, 55.5)}, 55.5),
        ({"k10temp": sensor(62.0)}, 62.0),
        ({"acpitz": sensor(27.0), "cpu_thermal": sensor(44.0)}, 44.0),
        ({"acpitz": sensor(27.8)}, 27.8),
        ({"coretemp": sensor(0.0, -273.0, 3000.0)}, None),
        ({"coretemp": []}, None),
    ],
)
def test_the_processors_hottest_part_counts_and_nothing_else(sensors, expected) -> None:
    assert processor_celsius(sensors) == expected


def test_a_battery_is_a_level_from_nought_to_one() -> None:
    assert battery_level(None) is None
    assert battery_level(SimpleNamespace(percent=42)) == pytest.approx(0.42)
    assert battery_level(SimpleNamespace(percent=101.5)) == 1.0


def test_this_machine_has_what_it_has() -> None:
    celsius, level = processor_celsius(read_temperatures()), battery_level(read_battery())
    assert celsius is None or 0 < celsius < 150
    assert level is None or 0 <= level <= 1
