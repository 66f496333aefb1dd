import pytest

from partita.cli.output import time_left


@pytest.mark.parametrize(
    ("fraction", "seconds", "words"),
    [
        (0.0, 60.0, ""),
        (0.09, 60.0, ""),
        (0.5, 1.0, ""),
        (0.25, 10.0, "about 30 s left"),
        (0.9, 9.0, "about 1 s left"),
        (0.1, 60.0, "about 9 min left"),
        (1.0, 60.0, ""),
    ],
)
def test_what_is_left_follows_from_what_is_done(fraction: float, seconds: float, words: str) -> None:
    assert time_left(fraction, seconds) == words
