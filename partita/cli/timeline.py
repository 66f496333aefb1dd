"""One request's timeline, drawn with characters."""

from rich.console import Group, RenderableType
from rich.text import Text

from partita import units
from partita.cli.output import table
from partita.results import InferReport

WIDTH = 64
"""Characters that the whole request is wide."""

PARTS = (("queue", "░", "yellow"), ("compute", "█", "green"), ("transfer", "▒", "blue"))
"""Of a component: name, character, colour."""


def timeline_view(report: InferReport) -> RenderableType:
    """A row for each component: where in the request it queued, computed and sent its outputs."""
    head = f"request {report.request_id} to {report.deployment}"
    waited = f", after it had waited {units.seconds(report.waited_seconds)} for its turn"
    if report.error:
        return Group(Text(f"{head} failed after {units.seconds(report.seconds)}{waited}"), Text(report.error, "red"))
    title = Text(f"{head} version {report.version}: {units.seconds(report.seconds)}{waited}", "bold")
    legend = Text.assemble(*((f"{character} {name}  ", colour) for name, character, colour in PARTS))
    together = any(run.together > 1 for run in report.runs)
    headings = (*_headings(), *([">requests at once"] if together else []))
    shown = table("server", ">component", f"0{units.seconds(report.seconds):>{WIDTH - 1}}", *headings)
    whole = max([report.seconds, *(run.end_seconds for run in report.runs)])
    for run in sorted(report.runs, key=lambda run: run.start_seconds):
        seconds = (run.queue_seconds, run.compute_seconds, run.transfer_seconds)
        bar = _bar(run.start_seconds, seconds, whole)
        times = map(units.seconds, (run.start_seconds, *seconds))
        shown.add_row(run.server, str(run.component), bar, *times, *([str(run.together)] if together else []))
    return Group(title, legend, Text(), shown)


def _headings() -> tuple[str, ...]:
    return (">starts at", *(f">{name}" for name, _, _ in PARTS))


def _bar(start: float, seconds: tuple[float, ...], whole: float) -> Text:
    """Blanks up to the start, then each part; whatever took any time is at least one character wide."""
    scale = WIDTH / whole if whole > 0 else 0.0
    drawn = Text()
    at = start
    for (_, character, colour), taken in zip(PARTS, seconds, strict=True):
        first = min(max(len(drawn), round(at * scale)), WIDTH - 1)
        drawn.append(" " * (first - len(drawn)))
        at += taken
        last = min(round(at * scale), WIDTH)
        drawn.append(character * max(last - len(drawn), int(taken > 0 and character == "█")), colour)
    return drawn
