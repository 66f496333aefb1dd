import json
import math
import os
import subprocess
import sys
from functools import partial

import pytest

from bench.planning.cases import ALL, BOTH, Case, file_case
from bench.planning.generator import branched, chain
from bench.planning.results import summary
from bench.planning.run import run
from core.documents import dumps
from core.errors import InvalidDocumentError
from core.problem import Problem


def partita(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "partita.cli.main", "bench", "planning", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_quick_bench_measures_every_method_and_draws(tmp_path) -> None:
    problem, picture = tmp_path / "mine.json", tmp_path / "times.png"
    problem.write_text(dumps(chain(6, 3)))
    done = partita("--quick", "--json", "--literal-limit", "240", "--picture", str(picture), str(problem))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["quick"] is True
    assert figures["cases"][0]["name"] == "mine.json"
    assert {method for case in figures["cases"] for method in case["methods"]} == {"exact", "ilp", "literal"}
    assert all(case["status"] == "optimal" for case in figures["cases"])
    assert figures["peak_memory_bytes"] > 1e6
    assert figures["failures"] == []
    assert "components" in done.stderr
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.json"], "nothing.json: No such file"),
        (["--picture", "no/where/at.png"], "there is no directory no/where"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(arguments, message) -> None:
    done = partita("--quick", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_no_problem_is_refused_by_name(tmp_path) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]")
    with pytest.raises(InvalidDocumentError, match=r"other\.json: \$: expected an object"):
        file_case(path)


def wrong(layers: int) -> Problem:
    """Another problem in every process: its methods cannot agree."""
    return chain(layers, 2, seed=os.getpid())


def test_disagreeing_methods_are_told() -> None:
    results = run([Case("wrong", partial(wrong, 8), BOTH)], literal_limit=1.0, quick=True)
    (failure,) = summary(results)["failures"]
    assert failure.startswith("wrong, ilp: methods disagree on the least latency")
    assert results.cases[0].timings.keys() == {"exact"}


def test_a_literal_program_that_is_stopped_gives_a_lower_bound() -> None:
    case = Case("wide", partial(branched, 150, 5), ALL)
    results = run([case], literal_limit=0.8, quick=True)
    timing = results.cases[0].timings["literal"]
    assert timing.stopped
    assert timing.seconds >= 0.2
    assert timing.peak_memory_bytes is None
    assert math.isclose(
        results.cases[0].ratio("literal") or 0.0,
        timing.processor_seconds / results.cases[0].timings["exact"].processor_seconds,
    )
