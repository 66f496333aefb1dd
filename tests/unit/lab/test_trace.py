from pathlib import Path

import pytest

from core.errors import InvalidDocumentError
from lab.topology import Link, Shape, TracePoint
from lab.trace import changes, read_trace


def written(directory: Path, text: str) -> Path:
    path = directory / "trace.csv"
    path.write_text(text)
    return path


def test_points_are_read_with_their_units(tmp_path: Path) -> None:
    path = written(tmp_path, "seconds,bandwidth,delay\n0,5MB/s,20ms\n\n1.5,8Mbit/s,0.1s\n")
    assert read_trace(path) == (TracePoint(0, 5e6, 0.02), TracePoint(1.5, 1e6, 0.1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected seconds,bandwidth,delay, got ''"),
        ("time,rate\n", "line 1: expected seconds,bandwidth,delay, got 'time,rate'"),
        ("seconds,bandwidth,delay\n", "no line after its header"),
        ("seconds,bandwidth,delay\n1,5MB/s,1ms\n", "line 2: the first line is of second 1; a trace begins at 0"),
        ("seconds,bandwidth,delay\n0,5MB/s,1ms\n0,5MB/s,1ms\n", "line 3: second 0 does not come after 0"),
        ("seconds,bandwidth,delay\n0,5MB/s\n", "line 2: expected 3 values, got 2"),
        ("seconds,bandwidth,delay\nnan,5MB/s,1ms\n", "line 2: seconds 'nan' is not a number"),
        ("seconds,bandwidth,delay\n0,5,1ms\n", "line 2: '5' has no unit"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        read_trace(written(tmp_path, text))
    assert words in str(caught.value)


def test_changes_of_all_links_come_in_order_and_keep_jitter_and_loss() -> None:
    one = Link("a", "b", Shape(5e6, 0.02, 0.001, 0.1), (TracePoint(0, 5e6, 0.02), TracePoint(3, 1e6, 0.05)))
    other = Link("b", "a", Shape(1e6), (TracePoint(0, 1e6, 0), TracePoint(2, 2e6, 0), TracePoint(4, 3e6, 0)))
    found = changes((one, other, Link("a", "c", Shape(1e6))))
    assert [(seconds, link.name) for seconds, link, _ in found] == [(2, "b:a"), (3, "a:b"), (4, "b:a")]
    assert found[1][2] == Shape(1e6, 0.05, 0.001, 0.1)
