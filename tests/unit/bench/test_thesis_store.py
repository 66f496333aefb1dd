import json
from pathlib import Path

import pytest

from bench.thesis import run as thesis_run
from bench.thesis.machine import processor_name
from bench.thesis.models import ThesisModel
from bench.thesis.resumed import done_share, going_on
from bench.thesis.run import run
from bench.thesis.scalability import PlanningTime
from bench.thesis.store import Identity, RawStore
from core.documents import dumps
from core.errors import InvalidArgumentError, InvalidDocumentError
from tests.unit.bench.thesis_results import MODEL, SIZES, fill

TIME = PlanningTime("random", "random 10", 10, 2, 0, "exact", 0.01, False, 3)
IDENTITY = Identity("quick", ("m",), "lab", "processor", "{}")
THESIS_MODEL = ThesisModel(MODEL, "made up", b"onnx", {}, lambda specs, count, seed: [])


async def test_a_step_is_measured_once(tmp_path: Path) -> None:
    store, calls = RawStore(tmp_path / "raw"), []

    async def measure() -> PlanningTime:
        calls.append(1)
        return TIME

    for _ in range(2):
        assert await store.step("one", PlanningTime, measure) == TIME
    assert await RawStore(tmp_path / "raw").step("one", PlanningTime, measure) == TIME
    assert len(calls) == 1
    assert json.loads((tmp_path / "raw" / "one.json").read_text())["seconds"] == 0.01


async def test_a_step_that_failed_leaves_nothing_and_is_measured_again(tmp_path: Path) -> None:
    store = RawStore(tmp_path)

    async def fail() -> PlanningTime:
        raise ValueError("interrupted")

    async def measure() -> PlanningTime:
        return TIME

    with pytest.raises(ValueError, match="interrupted"):
        await store.step("one", PlanningTime, fail)
    assert not store.has("one")
    assert await store.step("one", PlanningTime, measure) == TIME


def test_what_ends_while_it_writes_leaves_no_half_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RawStore(tmp_path)
    store.write("one", TIME)

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # Between writing the file and putting it in its place.
        patch.setattr(Path, "replace", end)
        for step in ("one", "two"):
            with pytest.raises(KeyboardInterrupt):
                store.write(step, PlanningTime("static", "x", 1, 1, 0, "exact", 9.0, False, 1))
    assert store.read("one", PlanningTime) == TIME
    assert store.steps() == ["one"]


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    store = RawStore(tmp_path)
    store.path("one").write_text('{"kind": "random"}')
    with pytest.raises(InvalidDocumentError, match=r"one\.json: .*is missing; remove it"):
        store.read("one", PlanningTime)


def test_results_of_another_run_are_refused_and_can_be_begun_anew(tmp_path: Path) -> None:
    store = RawStore(tmp_path)
    store.claim(IDENTITY, resume=True)
    store.write("one", TIME)
    store.claim(IDENTITY, resume=True)
    other = Identity("full", ("m",), "lab", "processor", "{}")
    with pytest.raises(InvalidArgumentError, match=r"sizes was 'quick' and is 'full' now.*--no-resume"):
        store.claim(other, resume=True)
    assert store.has("one")
    store.claim(other, resume=False)
    assert store.steps() == ["identity"]


def finished(tmp_path: Path) -> RawStore:
    store = RawStore(tmp_path / "raw")
    identity = Identity(SIZES.label, (THESIS_MODEL.digest,), "emulated", processor_name(), dumps(SIZES))
    store.claim(identity, resume=True)
    fill(store)
    return store


def test_a_finished_run_is_read_without_a_testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path)
    monkeypatch.setattr(thesis_run, "_on_testbed", None)
    told: list[str] = []
    results = run([THESIS_MODEL], SIZES, tmp_path, "emulated", progress=lambda _, message: told.append(message))
    assert results.models[0].name == MODEL
    assert {case.servers for case in results.models[0].cases} == {"device", "device+edge", "device+edge+cloud"}
    assert told[-1] == "measured"


def test_what_is_missing_is_measured_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = finished(tmp_path)
    store.path("planning-random-10-2-0").unlink()
    monkeypatch.setattr(thesis_run, "_on_testbed", None)
    # This one would fail: it is there, so it is not measured.
    monkeypatch.setattr(thesis_run, "time_static", None.__class__)
    results = run([THESIS_MODEL], SIZES, tmp_path, "emulated")
    found = next(one for one in results.planning if one.kind == "random")
    assert found.layers == 10
    assert found.seconds != 0.01


def test_what_was_done_before_takes_no_time(tmp_path: Path) -> None:
    store = RawStore(tmp_path / "none")
    assert done_share(store, MODEL) == 0
    store = finished(tmp_path)
    assert done_share(store, MODEL) == pytest.approx(1)
    store.path(f"{MODEL}.measured-device-0.0-None").unlink()
    most = done_share(store, MODEL)
    assert 0.8 < most < 1
    store.path(f"{MODEL}.plans-device").unlink()
    assert 0.3 < done_share(store, MODEL) < most
    told: list[float] = []
    step = going_on(lambda fraction, _: told.append(fraction), 0.6)
    for fraction in (0.1, 0.6, 0.8, 1.0):
        step(fraction, "")
    assert told == pytest.approx([0, 0, 0.5, 1])


@pytest.mark.parametrize("step", ["profiling", "plans-device", "energy-limits", "problem", "measured-device-0.0-None"])
def test_a_step_of_a_model_that_is_missing_needs_the_testbed(tmp_path: Path, step: str) -> None:
    store = finished(tmp_path)
    assert not thesis_run._missing(store, MODEL)
    store.path(f"{MODEL}.{step}").unlink()
    assert thesis_run._missing(store, MODEL)


@pytest.mark.parametrize("kept", [True, False])
def test_plans_are_made_anew_where_the_testbeds_state_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    store = finished(tmp_path)
    store.path(f"{MODEL}.measured-device-0.0-None").unlink()
    before = {*store.steps()}
    if kept:
        (tmp_path / "state").mkdir()

    async def on_testbed(*_: object) -> None:
        raise InvalidArgumentError("the testbed did not come up")

    monkeypatch.setattr(thesis_run, "_on_testbed", on_testbed)
    with pytest.raises(InvalidArgumentError, match="did not come up"):
        run([THESIS_MODEL], SIZES, tmp_path, "emulated")
    plans = ("plans-device", "plans-device+edge", "plans-device+edge+cloud", "energy-limits", "problem")
    assert before - {*store.steps()} == (set() if kept else {f"{MODEL}.{step}" for step in plans})
