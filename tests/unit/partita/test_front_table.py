from dataclasses import replace

from rich.console import Console

from core.front import Front
from partita.cli.front_table import extent, front_view, servers_used
from tests.unit.partita.fronts import FRONT


def _shown(front: Front) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(front_view(front))
    return captured.get().splitlines()


def test_a_row_for_each_point_and_each_simpler_plan() -> None:
    rows = {line.split("  ")[0].strip(): line.split() for line in _shown(FRONT)}
    assert rows["1"][1:11] == ["1.00", "s", "500", "ms", "8.00", "J", "2.00", "J", "0.05", "1"]
    assert rows["1"][11:] == ["0.750", "–", "1.000", "device,", "edge,", "cloud"]
    assert rows["knee"][1:3] == ["2.00", "s"]
    assert rows["knee"][-2:] == ["4", "servers"]
    assert rows["3"][-1] == "device"
    assert "2" not in rows
    assert rows["best single server"][3:] == ["90.0", "s", "80.0", "J", "all", "on", "edge"]
    assert rows["best single cut"][-2:] == ["not", "feasible"]
    assert _shown(FRONT)[-1].startswith("continuing with the integer program")


def test_servers_come_in_the_problems_order() -> None:
    assert servers_used(FRONT.points[0]) == ("device", "edge", "cloud")


def test_how_much_of_the_front_it_is() -> None:
    assert extent(FRONT) == "complete, 3 points, proven, found in 250 ms"
    more = extent(replace(FRONT, status="truncated", gap=0.125))
    assert "there are more" in more
    assert "0.125" in more
    stopped = extent(replace(FRONT, status="stopped", points=FRONT.points[:1], gap=None))
    assert stopped.startswith("stopped after 250 ms with 1 point;")
    assert "no bound" in stopped
    assert "proven" not in stopped


def test_an_infeasible_front_shows_its_reason() -> None:
    shown = _shown(Front("net", "infeasible", reason="no room on edge"))
    assert shown[0].endswith("infeasible: no room on edge")
