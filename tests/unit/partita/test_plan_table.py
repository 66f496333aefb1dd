from dataclasses import replace

from rich.console import Console

from core.plan import Baseline, ParallelPrediction, Plan
from partita.cli.plan_table import plan_view, quality, servers_of
from tests.unit.partita.plans import CHAIN


def _shown(plan: Plan) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(plan_view(plan))
    return captured.get().splitlines()


def test_a_row_for_each_server_and_each_simpler_plan() -> None:
    rows = {line.split("  ")[0]: line.split() for line in _shown(CHAIN)}
    assert rows["edge"] == ["edge", "3", "1", "2", "1.00", "kB"]
    assert rows["cloud"] == ["cloud", "3", "1", "0", "1.00", "kB"]
    assert rows["device"] == ["device", "0", "0", "0", "1.00", "kB"]
    assert rows["this plan"][2:10] == ["216", "ms", "–", "–", "1.90", "J", "180", "mJ"]
    assert rows["device only"][2:8] == ["900", "ms", "–", "–", "2.70", "J"]
    assert rows["best single cut"][-2:] == ["not", "feasible"]


def test_side_by_side() -> None:
    busy = ParallelPrediction(0.150, 0.080, "device → edge, cloud")
    baselines = {"device_only": Baseline(1.0, 0.9, 2.7, "all on device", ParallelPrediction(0.9, 0.5, "device"))}
    rows = {line.split("  ")[0]: line for line in _shown(replace(CHAIN, parallel=busy, baselines=baselines))}
    assert rows["this plan"].split()[2:10] == ["216", "ms", "150", "ms", "12.5/s", "device", "→", "edge,"]
    assert rows["device only"].split()[2:8] == ["900", "ms", "900", "ms", "2/s", "device"]


def test_goal_advice_and_notes_in_words() -> None:
    plan = replace(CHAIN, goal="throughput", advice="do not split", notes=("one", "other"))
    assert _shown(plan)[1:5] == [
        "goal: throughput (time between answers with the pipeline full)",
        "advice: do not split",
        "note: one",
        "note: other",
    ]


def test_how_good_it_is() -> None:
    assert "proven optimal" in quality(CHAIN)
    stopped = quality(replace(CHAIN, status="feasible", gap=0.25))
    assert "stopped early" in stopped
    assert "0.25" in stopped
    assert "the best found" in quality(replace(CHAIN, status="feasible", gap=0.25, goal="latency"))
    assert "bound 0," in quality(replace(CHAIN, status="feasible", gap=1e-15))
    assert "optimal" not in stopped


def test_the_device_is_the_first_server() -> None:
    assert servers_of(CHAIN) == ("device", "edge", "cloud")


def test_an_infeasible_plan_shows_its_reason() -> None:
    assert _shown(Plan("net", "infeasible", reason="no room on edge"))[0].endswith("infeasible: no room on edge")
