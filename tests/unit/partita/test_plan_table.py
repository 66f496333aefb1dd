from dataclasses import replace

from rich.console import Console

from core.plan import Plan
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
    assert rows["this plan"][2:8] == ["216", "ms", "1.90", "J", "180", "mJ"]
    assert rows["device only"][2:6] == ["900", "ms", "2.70", "J"]
    assert rows["best single cut"][-2:] == ["not", "feasible"]


def test_how_good_it_is() -> None:
    assert "proven optimal" in quality(CHAIN)
    stopped = quality(replace(CHAIN, status="feasible", gap=0.25))
    assert "stopped early" in stopped
    assert "0.25" in stopped
    assert "bound 0," in quality(replace(CHAIN, status="feasible", gap=1e-15))
    assert "optimal" not in stopped


def test_the_device_is_the_first_server() -> None:
    assert servers_of(CHAIN) == ("device", "edge", "cloud")


def test_an_infeasible_plan_shows_its_reason() -> None:
    assert _shown(Plan("net", "infeasible", reason="no room on edge"))[0].endswith("infeasible: no room on edge")
