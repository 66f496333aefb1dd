"""The synchronous client and the command line against a cluster that ``partita up`` runs."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

import partita
from core.documents import loads
from core.plan import Plan
from core.problem import Problem
from tests.unit.models import chain_model, random_inputs
from tests.unit.plans import run

COMMAND = (sys.executable, "-m", "partita.cli.main")
FEW = {"quantizable_count": 1, "noise_samples": 2}
"""Settings with which a small model is profiled in a moment."""


def started(directory: Path) -> tuple["subprocess.Popen[str]", str]:
    """``partita up`` and its address."""
    command = [*COMMAND, "up", "--address", "127.0.0.1:0", "--data", str(directory), "--json"]
    with (directory / "up.log").open("w") as log:
        # Whoever runs the tests may have Ctrl-C ignored, which processes inherit.
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(partita.__file__).parents[1])},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    assert lines, (directory / "up.log").read_text()
    return process, json.loads("".join(lines))["address"]


def stopped(process: "subprocess.Popen[str]") -> int:
    """The exit code of ``partita up`` after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    code = process.wait(60)
    assert process.stdout is not None
    process.stdout.close()
    return code


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, found = started(tmp_path_factory.mktemp("up"))
    yield found
    assert stopped(process) == 0


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[partita.Client]:
    with partita.connect(address) as connected:
        yield connected


@pytest.fixture(scope="module")
def deployment(client: partita.Client) -> partita.Deployment:
    model = client.load(chain_model().SerializeToString(), "chain")
    plan = client.plan(model, layer_rules={"/conv_0": ["device"], "/conv_4": ["edge"]}, noise_limit=0.0, **FEW)
    return client.deploy(plan)


def command(address: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PARTITA_ADDRESS": address, "PYTHONPATH": str(Path(partita.__file__).parents[1])}
    line = [*COMMAND, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, env=environment)


def test_up_leaves_nothing_running(tmp_path: Path) -> None:
    process, _ = started(tmp_path)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 4
    assert stopped(process) == 0
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_threads_share_a_client_and_get_the_whole_models_answers(deployment: partita.Deployment) -> None:
    inputs = [random_inputs(chain_model(), seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(deployment.infer, inputs))
    whole = deployment.whole_model()
    for item, answer in zip(inputs, answers, strict=True):
        exact = run(whole, item)
        assert answer.keys() == exact.keys()
        for name in exact:
            np.testing.assert_allclose(answer[name], exact[name], atol=1e-5)


def test_a_report_tells_of_every_component(deployment: partita.Deployment) -> None:
    _, report = deployment.infer_with_report(random_inputs(chain_model()))
    components = deployment.info.detail.division.components
    assert {run.component: run.server for run in report.runs} == {item.id: item.server for item in components}
    assert report.version == deployment.info.version
    assert report.seconds >= max(run.compute_seconds for run in report.runs) > 0


def test_wrong_inputs_are_refused(deployment: partita.Deployment) -> None:
    inputs = random_inputs(chain_model())
    for bad in ({}, {"images": inputs["images"].astype(np.float64)}, {"images": inputs["images"].tolist()}):
        with pytest.raises(partita.InvalidTensorError):
            deployment.infer(bad)


def test_a_handle_follows_its_name_to_another_model(client: partita.Client) -> None:
    model = client.load(chain_model().SerializeToString(), "small")
    handle = client.deploy(client.plan(model, **FEW), "follows")
    other = chain_model()
    other.graph.node.add(op_type="Neg", name="/neg", input=["features"], output=["negative"])
    other.graph.output[0].name = "negative"
    del other.graph.input[0].type.tensor_type.shape.dim[:]
    for size in (1, 3, 12, 12):
        other.graph.input[0].type.tensor_type.shape.dim.add().dim_value = size
    del other.graph.output[0].type.tensor_type.shape.dim[:]
    for size in (1, 4, 12, 12):
        other.graph.output[0].type.tensor_type.shape.dim.add().dim_value = size
    client.deploy(client.plan(client.load(other.SerializeToString(), "larger"), **FEW), "follows")
    assert handle.infer(random_inputs(other))["negative"].shape == (1, 4, 12, 12)
    assert handle.info.model == "larger"
    handle.undeploy()


def test_a_deadline_that_cannot_be_met_is_a_typed_error(deployment: partita.Deployment) -> None:
    with pytest.raises(partita.DeadlineExceededError):
        deployment.infer(random_inputs(chain_model()), timeout_seconds=1e-4)
    assert deployment.infer(random_inputs(chain_model()))


def test_requests_go_to_another_front_end_where_one_is_given(address: str, deployment: partita.Deployment) -> None:
    with (
        partita.connect(address, front_end_address="127.0.0.1:1") as client,
        pytest.raises(partita.ServerUnavailableError, match=r"127\.0\.0\.1:1"),
    ):
        client.deployment(deployment.name).infer(random_inputs(chain_model()))


def test_an_interrupted_call_ends_and_leaves_the_client_usable(client: partita.Client) -> None:
    main = threading.main_thread().ident
    assert main is not None
    interrupted = threading.Event()

    def interrupt(fraction: float, message: str) -> None:
        if not interrupted.is_set():
            interrupted.set()
            signal.pthread_kill(main, signal.SIGINT)

    model = client.load(chain_model(seed=5).SerializeToString(), "interrupted")
    with pytest.raises(KeyboardInterrupt):
        # Enough samples that it could not end before the interrupt comes.
        client.profile(model, progress=interrupt, quantizable_count=4, noise_samples=10_000)
    assert "interrupted" in {known.name for known in client.models()}


def test_an_error_of_a_progress_callback_reaches_the_caller(client: partita.Client) -> None:
    def fail(fraction: float, message: str) -> None:
        raise ZeroDivisionError(message)

    with pytest.raises(ZeroDivisionError):
        client.load(chain_model().SerializeToString(), "never", progress=fail)
    assert "never" not in {known.name for known in client.models()}


def test_the_command_line_goes_the_whole_way(address: str, tmp_path: Path) -> None:
    file, inputs, output, picture = (tmp_path / name for name in ("net.onnx", "in.npz", "out.npz", "plan.png"))
    file.write_bytes(chain_model().SerializeToString())
    values = random_inputs(chain_model())
    np.savez(inputs, **values)

    def ok(*arguments: object) -> str:
        done = command(address, *arguments)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    assert json.loads(ok("model", "add", file, "--sample", inputs, "--json"))["samples"] == 1
    assert "net" in ok("model", "ls")
    few = ("--quantizable", 1, "--noise-samples", 2)
    assert json.loads(ok("profile", "net", *few, "--json"))["measured"] > 0
    assert "R²" in ok("model", "show", "net", "--layers")
    plan = loads(ok("plan", "net", "--rule", "/conv_0=device", "--noise-limit", 0, "--method", "ilp", "--json"), Plan)
    assert plan.id
    assert plan.id in ok("plans")
    problem = tmp_path / "problem.json"
    assert plan.id in ok("plans", "show", plan.id, "--problem", problem, "--picture", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "every layer stays where it is" in ok("plans", "diff", plan.id, plan.id)
    assert loads(problem.read_text(), Problem).device == "device"
    replayed = loads(ok("optimize", problem, "--json"), Plan)
    assert replayed.objective == pytest.approx(plan.objective, abs=1e-6)
    assert json.loads(ok("deploy", plan.id, "--name", "by-hand", "--json"))["name"] == "by-hand"
    assert "by-hand" in ok("deployments")
    answer = json.loads(ok("infer", "by-hand", inputs, "-o", output, "--repeat", 3, "--json"))
    assert len(answer["latency_seconds"]) == 3
    with np.load(output) as kept:
        np.testing.assert_allclose(kept["features"], run(file.read_bytes(), values)["features"], atol=1e-5)
    traced = ok("trace", answer["report"]["request_id"])
    assert f"request {answer['report']['request_id']} to by-hand version 1" in traced
    assert json.loads(ok("trace", "--json")) == answer["report"]
    assert "median" in ok("infer", "by-hand", inputs, "--repeat", 2)
    assert json.loads(ok("undeploy", "by-hand", "--json")) == {"undeployed": "by-hand"}
    assert "undeployed" in ok("deployments")
    looked_at = {finding["subject"]: finding["verdict"] for finding in json.loads(ok("doctor", "--json"))}
    assert {"deployer", "server device", "server edge", "server cloud"} <= looked_at.keys()
    assert looked_at["deployer"] == "fine"
    assert {server["name"] for server in json.loads(ok("servers", "--json"))["servers"]} == {"device", "edge", "cloud"}


def test_an_unknown_goal_or_method_is_told_the_known_ones(client: partita.Client) -> None:
    with pytest.raises(partita.InvalidArgumentError, match=r"'speed' is unknown; .* 'throughput', 'energy'"):
        client.plan("net", goal="speed")
    with pytest.raises(partita.InvalidDocumentError, match=r"method: expected 'exact' or 'ilp', got 'guess'"):
        client.plan("net", method="guess")


def test_the_command_lines_errors_have_their_exit_codes(address: str, client: partita.Client, tmp_path: Path) -> None:
    client.profile(client.load(chain_model().SerializeToString(), "codes"), **FEW)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    room = ("--memory-limit", "device=1", "--memory-limit", "edge=1", "--memory-limit", "cloud=1")
    for code, word, arguments in (
        (2, "ONNX", ("model", "add", broken)),
        (2, "none.onnx", ("model", "add", tmp_path / "none.onnx")),
        (1, "nothing", ("plan", "nothing")),
        (3, "memory", ("plan", "codes", *room)),
        (2, "moon", ("plan", "codes", "--rule", "*=moon")),
        (1, "nothing", ("deploy", "nothing")),
        (2, "broken.onnx", ("infer", "codes", broken)),
    ):
        done = command(address, *arguments)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert (done.returncode, done.stdout, len(errors)) == (code, "", 1), (arguments, done)
        assert word in errors[0]
