import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import FailedPreconditionError, InvalidArgumentError, InvalidDocumentError
from lab.measure import Comparison, Measured
from lab.topology import Link, Shape
from lab.topology_file import presets
from partita.cli.app import app


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["lab", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_a_file_is_checked_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "3 servers and 6 links: the file reads well" in run("check", "thesis", "--validate-only")
    assert len(json.loads(run("check", "thesis", "--validate-only", "--json"))["links"]) == 6
    with pytest.raises(FailedPreconditionError, match="thesis reads well, but measuring its links needs root"):
        run("check", "thesis")


def test_a_mistake_is_told_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("format: partita/topology@1\nservers: {a: {role: king}}\n")
    with pytest.raises(InvalidDocumentError, match=r"mine\.yaml: servers\.a: role: 'king' is none of"):
        run("check", str(path), "--validate-only")


@pytest.mark.parametrize("command", [("up", "thesis"), ("down",), ("set", "device:edge", "delay=1ms")])
def test_what_needs_root_says_so(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(FailedPreconditionError, match="needs root"):
        run(*command)


@pytest.mark.parametrize("name", presets())
def test_presets_are_printed_to_begin_with(name: str) -> None:
    assert "format: partita/topology@1" in run("print", name)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["speed=1MB/s"], "a link has no 'speed'; it has bandwidth, delay, jitter, loss"),
        (["bandwidth=5"], "bandwidth: '5' has no unit"),
        (["bandwidth"], "value 'bandwidth' has not the form bandwidth=2MB/s"),
    ],
)
def test_changes_are_checked(values: list[str], words: str) -> None:
    from partita.cli.lab import _shape_values

    with pytest.raises(InvalidArgumentError) as caught:
        _shape_values(values)
    assert words in str(caught.value)


def test_short_delays_are_compared_by_absolute_time() -> None:
    link = Link("a", "b", Shape(1e6, 0.0002))
    assert Comparison(link, Measured(1e6, 0.0004, None)).agrees
    assert not Comparison(link, Measured(1e6, 0.0006, None)).agrees
    far = Link("a", "b", Shape(1e6, 0.1))
    assert Comparison(far, Measured(0.91e6, 0.109, None)).agrees
    assert not Comparison(far, Measured(0.89e6, 0.1, None)).agrees
    assert not Comparison(far, Measured(1e6, 0.111, None)).agrees


def test_links_that_are_off_are_an_error_that_names_them() -> None:
    from partita.cli.lab import _require_agreement

    good = Comparison(Link("a", "b", Shape(1e6, 0.1)), Measured(1e6, 0.1, None))
    bad = Comparison(Link("b", "a", Shape(100e6, 0.1)), Measured(50e6, 0.1, None))
    _require_agreement([good])
    with pytest.raises(FailedPreconditionError, match=r"1 of 2 links are .* b:a has 50\.0 MB/s for 100 MB/s"):
        _require_agreement([good, bad])
