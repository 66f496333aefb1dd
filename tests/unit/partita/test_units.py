import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.0412, "41.2 ms"),
        (1.9, "1.90 s"),
        (123.4, "123 s"),
        (4.5e-6, "4.50 µs"),
        (3e-8, "0.03 µs"),
    ],
)
def test_seconds(value, text) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0 B"), (7, "7 B"), (4_915_200, "4.92 MB"), (2e9, "2.00 GB"), (123_456, "123 kB")],
)
def test_byte_count(value, text) -> None:
    assert units.byte_count(value) == text


def test_rate_and_energy() -> None:
    assert units.rate(20e6) == "20.0 MB/s"
    assert units.joules(0.0012) == "1.20 mJ"


@given(st.floats(1e-6, 1e5))
def test_the_text_tells_the_value_within_three_digits(value) -> None:
    number, unit = units.seconds(value).split()
    told = float(number) * {"s": 1.0, "ms": 1e-3, "µs": 1e-6}[unit]
    assert math.isclose(told, value, rel_tol=0.006)
