import json
import subprocess
import sys

import pytest

from core.documents import dumps, loads
from core.errors import InfeasiblePlanError, InternalError, InvalidModelError, NotFoundError
from core.front import Front
from core.graph import Layer, ModelGraph, Tensor
from core.plan import Plan
from core.problem import LayerTime, Link, NoiseModel, Problem, Server
from partita.cli.main import error_text, exit_code

PROBLEM = Problem(
    model=ModelGraph(
        "net",
        (Layer("a", weight_bytes=100), Layer("b", weight_bytes=100)),
        (Tensor("x", 1000, None, ("a",)), Tensor("y", 10, "a", ("b",)), Tensor("z", 10, "b", (None,))),
    ),
    servers=(Server("device", 1.0), Server("edge", 1.0)),
    links=(Link("device", "edge", 1e6, 0.001), Link("edge", "device", 1e6, 0.001)),
    execution={
        "device": {"a": LayerTime(0.01), "b": LayerTime(1.0)},
        "edge": {"a": LayerTime(0.001), "b": LayerTime(0.1)},
    },
    noise=NoiseModel(0.0, ()),
)


def partita(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "partita.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def problem_file(tmp_path):
    path = tmp_path / "problem.json"
    path.write_text(dumps(PROBLEM))
    return path


def test_optimize_writes_and_prints_the_plan(problem_file, tmp_path) -> None:
    picture, output = tmp_path / "plan.png", tmp_path / "plan.json"
    done = partita("optimize", problem_file, "--json", "-o", output, "--picture", picture)
    assert done.returncode == 0, done.stderr
    printed, written = loads(done.stdout, Plan), loads(output.read_text(), Plan)
    assert printed == written
    assert printed.placement == {"a": "edge", "b": "edge"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_infeasible_problem_ends_with_3_and_the_reason(problem_file, tmp_path) -> None:
    raw = json.loads(problem_file.read_text())
    raw["servers"][0]["memory_bytes"] = raw["servers"][1]["memory_bytes"] = 10
    problem_file.write_text(json.dumps(raw))
    output = tmp_path / "plan.json"
    done = partita("optimize", problem_file, "--json", "-o", output)
    assert done.returncode == 3
    assert loads(done.stdout, Plan).status == "infeasible"
    assert loads(output.read_text(), Plan).reason in done.stderr
    assert "Traceback" not in done.stderr


def test_optimize_gives_a_front_with_its_table_and_picture(problem_file, tmp_path) -> None:
    raw = json.loads(problem_file.read_text())
    raw["servers"][1]["compute_watts"] = 100.0
    problem_file.write_text(json.dumps(raw))
    picture, output = tmp_path / "front.png", tmp_path / "front.json"
    table = tmp_path / "front.csv"
    done = partita("optimize", problem_file, "--pareto", 5, "-o", output, "--picture", picture, "--csv", table)
    assert done.returncode == 0, done.stderr
    front = loads(output.read_text(), Front)
    assert front.status == "complete"
    assert front.points[0].placement == {"a": "edge", "b": "edge"}
    assert front.points[-1].placement == {"a": "device", "b": "device"}
    assert "complete" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(table.read_text().splitlines()) == 1 + len(front.points)


def test_an_infeasible_front_ends_with_3_and_the_reason(problem_file, tmp_path) -> None:
    raw = json.loads(problem_file.read_text())
    raw["limits"]["device_energy_joules"] = -1.0
    problem_file.write_text(json.dumps(raw))
    picture = tmp_path / "front.png"
    done = partita("optimize", problem_file, "--pareto", 5, "--json", "--picture", picture)
    assert done.returncode == 3
    assert loads(done.stdout, Front).reason in done.stderr
    assert "device energy" in done.stderr
    assert not picture.exists()


def test_the_goal_replaces_that_of_the_file(problem_file) -> None:
    raw = json.loads(problem_file.read_text())
    raw["servers"][1]["compute_watts"] = 100.0
    problem_file.write_text(json.dumps(raw))
    done = partita("optimize", problem_file, "--json", "--goal", "energy", "--method", "ilp")
    assert done.returncode == 0, done.stderr
    assert loads(done.stdout, Plan).placement == {"a": "device", "b": "device"}


@pytest.mark.parametrize(
    ("text", "place"), [("{", "not a JSON document"), ('{"model": 3}', "$.model"), (None, "No such file")]
)
def test_a_bad_file_ends_with_2_and_one_line_with_the_place(tmp_path, text, place) -> None:
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    done = partita("optimize", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "bad.json" in done.stderr
    assert place in done.stderr


def test_bad_usage_ends_with_2(problem_file) -> None:
    assert partita("optimize").returncode == 2
    assert partita("optimize", problem_file, "--solver", "none").returncode == 2
    assert partita("optimize", problem_file, "--time-limit", "-1").returncode == 2
    assert partita("optimize", problem_file, "--goal", "none").returncode == 2
    assert partita("optimize", problem_file, "--pareto", "1").returncode == 2
    done = partita("nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["error: No such command 'nothing'.", "partita --help tells how it is called"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--pareto", "3", "--goal", "latency"], "leave out --goal"),
        (["--goal", "energy", "--latency-weight", "0.5"], "goal 'energy'"),
    ],
)
def test_options_that_contradict_each_other_end_with_2_and_one_line(problem_file, options, told) -> None:
    done = partita("optimize", problem_file, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_deployer_that_is_not_there_is_told_with_its_address_and_what_to_do() -> None:
    done = partita("servers", "--address", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    told, advice = done.stderr.splitlines()
    assert "127.0.0.1:1 cannot be reached (Connection refused" in told
    assert told.endswith("check that it runs")
    assert "partita up" in advice
    assert "Traceback" in partita("--debug", "servers", "--address", "127.0.0.1:1").stderr


def test_exit_codes_and_lines_of_errors() -> None:
    assert exit_code(NotFoundError("x")) == 1
    assert exit_code(InvalidModelError("x")) == 2
    assert exit_code(FileNotFoundError(2, "No such file", "a.onnx")) == 2
    assert exit_code(InfeasiblePlanError("x")) == 3
    assert error_text(InternalError("two\nlines")) == "error: two lines"
    assert error_text(FileNotFoundError(2, "No such file", "a.onnx")) == "error: a.onnx: No such file"
    assert "ZeroDivisionError" in error_text(ZeroDivisionError("x"))
