import pytest

from core.errors import InvalidArgumentError
from lab import units


@pytest.mark.parametrize(
    ("text", "bytes_per_second"), [("5MB/s", 5e6), ("40Mbit/s", 5e6), ("1.5 kB/s", 1500), ("1Gbit/s", 1.25e8)]
)
def test_bandwidths_have_units(text: str, bytes_per_second: float) -> None:
    assert units.bandwidth(text) == pytest.approx(bytes_per_second)


@pytest.mark.parametrize(("text", "seconds"), [("2.5ms", 0.0025), ("0s", 0), ("300us", 3e-4), (".5 s", 0.5)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert units.duration(text) == pytest.approx(seconds)


def test_shares_and_sizes() -> None:
    assert units.share("0.5%") == pytest.approx(0.005)
    assert units.size("512MiB") == 512 * 2**20


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (units.bandwidth, 5, "5 has no unit; write for example 5MB/s"),
        (units.bandwidth, "5mbps", "'mbps', which is none of B/s"),
        (units.bandwidth, "0MB/s", "carries nothing"),
        (units.bandwidth, "-1MB/s", "not a number with a unit"),
        (units.bandwidth, True, "not a number with a unit"),
        (units.bandwidth, "9" * 400 + "GB/s", "too large"),
        (units.duration, "5 minutes", "the unit 'minutes', which is none of us, ms, s; write for example 2.5ms"),
        (units.duration, None, "not a number with a unit"),
        (units.share, "100%", "loses everything"),
        (units.share, "0.1", "has no unit; write for example 0.5%"),
        (units.size, "4GO", "'GO'"),
    ],
)
def test_what_is_wrong_is_said_with_its_value(read: object, text: object, words: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read(text)  # type: ignore[operator]
    assert words in str(caught.value)
