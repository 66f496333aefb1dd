import pytest

from core.errors import InvalidArgumentError
from partita.cli.options import byte_size, given, pairs, shape


def test_pairs_divide_at_the_last_equals_sign() -> None:
    assert pairs(["a=b=1", "c=2"], "--x", "K=V") == {"a=b": "1", "c": "2"}
    assert pairs(None, "--x", "K=V") == {}


@pytest.mark.parametrize("text", ["a", "=1", "a="])
def test_half_a_pair_is_refused_with_an_example(text) -> None:
    with pytest.raises(InvalidArgumentError, match=r"--rule .* K=V"):
        pairs([text], "--rule", "K=V")


def test_shapes() -> None:
    assert shape("1x3x640x640") == (1, 3, 640, 640)
    assert shape("7") == (7,)


@pytest.mark.parametrize("text", ["", "x", "1x-3", "1x3.5", "0x3"])
def test_unusable_shapes_are_refused(text) -> None:
    with pytest.raises(InvalidArgumentError, match="1x3x640x640"):
        shape(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("250000", 250_000),
        ("1.5MB", 1_500_000),
        ("2GiB", 2 * 2**30),
        ("3 kB", 3000),
        ("0", 0),
        ("17B", 17),
        ("1e6", 10**6),
    ],
)
def test_sizes(text, size) -> None:
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1.5XB", "nan", "inf", "1 2"])
def test_unusable_sizes_are_refused(text) -> None:
    with pytest.raises(InvalidArgumentError, match="number of bytes"):
        byte_size(text)


def test_only_given_options_are_passed_on() -> None:
    assert given(a=None, b=0, c=[], d={}, e="x", f=0.0) == {"b": 0, "e": "x", "f": 0.0}
