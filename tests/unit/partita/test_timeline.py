from rich.console import Console

from core.deployment import ComponentRun
from partita.cli.timeline import WIDTH, timeline_view
from partita.results import InferReport


def shown(report: InferReport) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(timeline_view(report))
    return captured.get().splitlines()


def test_bars_stand_where_the_time_went() -> None:
    runs = (ComponentRun(2, "edge", 0.25, 0.25, 0.0, 0.5), ComponentRun(1, "device", 0.0, 0.25, 0.25, 0.0))
    lines = shown(InferReport("abc", 3, 1.0, runs, "net", 0.002))
    assert lines[0] == "request abc to net version 3: 1.00 s, after it had waited 2.00 ms for its turn"
    device, edge = lines[-2:]
    assert device.split("  ")[0] == "device"
    assert device.count("█") == device.count("▒") == WIDTH // 4
    assert "░" not in device
    assert edge.count("░") == edge.count("█") == WIDTH // 4
    assert edge.index("░") - device.index("█") == WIDTH // 2
    assert edge.split()[-4:] == ["250", "ms", "0", "s"]


def test_requests_that_were_computed_together_are_told() -> None:
    runs = (ComponentRun(1, "device", 0.0, 0.25, 0.25, together=3), ComponentRun(2, "edge", 0.25, 0.25, 0.0, 0.5))
    *_, heading, device, edge = shown(InferReport("abc", 3, 1.0, runs, "net", 0.002))
    assert heading.rstrip().endswith("requests at once")
    assert [line.split()[-1] for line in (device, edge)] == ["3", "1"]


def test_what_took_hardly_any_time_is_still_seen() -> None:
    runs = (ComponentRun(1, "device", 0.0, 1e-6, 0.0, 0.0), ComponentRun(2, "edge", 0.0, 1e-6, 0.0, 1.0))
    *_, first, last = shown(InferReport("abc", 1, 1.0, runs, "net"))
    assert first.count("█") == last.count("█") == 1


def test_a_failed_request_tells_why() -> None:
    lines = shown(InferReport("abc", 0, 0.5, (), "net", 0.0, "server 'edge' cannot be reached"))
    assert lines == [
        "request abc to net failed after 500 ms, after it had waited 0 s for its turn",
        "server 'edge' cannot be reached",
    ]
