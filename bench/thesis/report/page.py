"""The whole report: ``report.md``, ``report.html``, ``tables/*.csv`` and ``figures/*.png``."""

import base64
import html
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.thesis.plans import noise_scale
from bench.thesis.report import (
    distribution,
    energy_limit,
    layer_sums,
    prediction,
    profiling,
    savings,
    scalability,
)
from bench.thesis.report.drawing import DPI
from bench.thesis.report.section import Section
from bench.thesis.report.table import Column, Row, Table, percent
from bench.thesis.results import Results, Session
from core.progress import Progress, no_progress
from partita import units

TABLES, FIGURES = "tables", "figures"

SECTIONS: Sequence[Callable[[Results], Section]] = (
    profiling.section,
    layer_sums.section,
    prediction.section,
    savings.section,
    distribution.section,
    scalability.section,
    energy_limit.section,
)

TITLE = "The thesis's experiments, redone"


def write_report(results: Results, output: Path, progress: Progress = no_progress) -> None:
    """Write the report into a directory, over what an earlier one left there.

    Raises:
        OSError: a file cannot be written.
    """
    sections = [make(results) for make in SECTIONS]
    links = links_table(results.sessions[-1])
    for directory in (TABLES, FIGURES):
        (output / directory).mkdir(parents=True, exist_ok=True)
    for table in (links, *(table for section in sections for table in section.tables)):
        (output / TABLES / f"{table.name}.csv").write_text(table.csv(), encoding="utf-8")
    pictures = [picture for section in sections for picture in section.pictures]
    for index, picture in enumerate(pictures):
        progress(index / len(pictures), f"drawing {picture.name}")
        figure = picture.draw()
        FigureCanvasAgg(figure)
        figure.savefig(output / FIGURES / f"{picture.name}.png", format="png", dpi=DPI)
    text = "\n".join([beginning(results, links), *(section.markdown(Path(FIGURES)) for section in sections)])
    (output / "report.md").write_text(text, encoding="utf-8")
    (output / "report.html").write_text(page(text, output), encoding="utf-8")
    progress(1.0, "report written")


def beginning(results: Results, links: Table) -> str:
    """What was measured, on what, and how its numbers are to be read."""
    last = results.sessions[-1]
    machine, bed = last.machine, last.testbed
    where = (
        f"the lab: `partita lab up thesis`, a network namespace for each server, links by {bed.shaping}"
        if bed.kind == "lab"
        else "processes on loopback whose senders wait as long as links would take, and not the lab: " + bed.why
    )
    models = "\n".join(f"- **{one.name}**: {one.description}; {one.profiling.layers} layers" for one in results.models)
    servers = "; ".join(
        f"{one.name} {one.slowdown:g} times slower than the machine, {one.compute_watts:g} W computing, "
        f"{one.transmit_watts:g} W sending"
        for one in bed.servers
    )
    return f"""# {TITLE}

`partita bench thesis`, {results.sizes.label} size, begun {results.sessions[0].began}{_interrupted(results)}.

{models}

**Where.** {machine.processor}, {machine.cores} cores, {units.byte_count(machine.memory_bytes)} of memory,
{machine.system}, {machine.runtime}. The testbed is {where}.
Servers, one thread each: {servers} (the thesis's tables 6.3 to 6.5; the
slow-downs are ours). {_load(results)}

**Noise limits** η are given in the thesis's numbers, 0 to 0.5. {_scale(results)}

**The thesis's figures** stand below each experiment where they are known to us, and are *not at hand* else: its
hardware was another, its models are larger.

{links.markdown()}"""


def links_table(session: Session) -> Table:
    """Links as asked and as measured before the first experiment."""
    columns = [
        Column("link", "link", right=False),
        Column("bytes_per_second", "bandwidth", units.rate),
        Column("measured_bytes_per_second", "measured", units.rate),
        Column("delay_seconds", "delay one way", units.seconds),
        Column("measured_delay_seconds", "measured", units.seconds),
    ]
    rows: list[Row] = [{"link": f"{one.source} → {one.target}", **vars(one)} for one in session.testbed.links]
    return Table("links", columns, rows)


def _interrupted(results: Results) -> str:
    count = len(results.sessions)
    return "" if count == 1 else f", in {count} sessions after interruptions"


def _load(results: Results) -> str:
    loads = [one.others_load for model in results.models for one in model.measured.values()]
    loads += [session.others_load for session in results.sessions]
    median, worst = statistics.median(loads), max(loads)
    words = (
        "the machine was nearly its own" if worst < 0.1 else "so times that depend on the processor are not quiet ones"
    )
    return (
        f"While the bench waited, others had {percent(median)} of the processors in the median and {percent(worst)} "
        f"at most: {words}."
    )


def _scale(results: Results) -> str:
    words = []
    for model in results.models:
        noise = model.profiling.noise_all
        scale = noise_scale(noise, results.sizes.noise_levels)
        if scale == 1.0:
            words.append(f"For {model.name} they are absolute, as there (everything in int8: {noise:.3g}).")
        else:
            words.append(
                f"For {model.name}, whose outputs move by {noise:.3g} with everything in int8, none of them would "
                f"forbid anything: they are scaled so that 0.5 stands for that noise (1 for {scale:.3g})."
            )
    return " ".join(words)


def page(text: str, output: Path) -> str:
    """The Markdown as one HTML file that has its pictures within it."""
    body = MarkdownIt("commonmark").enable("table").render(text)
    body = re.sub(r'src="([^"]+\.png)"', lambda match: f'src="{_embedded(output / html.unescape(match[1]))}"', body)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<style>{STYLE}</style>
</head>
<body>
{body}</body>
</html>
"""


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 14px; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: left; }
th { border-bottom: 2px solid #888; }
img { max-width: 100%; display: block; }
h2 { margin-top: 2.5rem; }
"""
