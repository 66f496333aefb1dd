"""Thesis 6.1: profiling times."""

from matplotlib.figure import Figure

from bench.thesis.report.drawing import COLORS, finish, new_figure
from bench.thesis.report.section import Picture, Section, ThesisFigure
from bench.thesis.report.table import Column, Row, Table, percent
from bench.thesis.results import ModelResults, Results
from partita import units


def section(results: Results) -> Section:
    """Section 6.1."""
    rows: list[Row] = [
        {
            "model": one.name,
            "layers": one.profiling.layers,
            "int8": one.profiling.quantizable,
            "sets": one.profiling.noise_sets,
            "r2": one.profiling.noise_r2,
            **parts(one),
            "seconds": one.profiling.seconds,
            "others_load": one.profiling.others_load,
        }
        for one in results.models
    ]
    phases: list[Row] = [
        {"model": one.name, "subject": phase.subject, "phase": phase.phase, "seconds": phase.seconds}
        for one in results.models
        for phase in one.profiling.phases
    ]
    times = list(dict.fromkeys(part for one in results.models for part in parts(one)))
    columns = [
        Column("model", "model", right=False),
        Column("layers", "layers"),
        Column("int8", "may be int8"),
        Column("sets", "noise sets"),
        Column("r2", "R² of unseen sets", "{:.3f}".format),
        *(Column(part, part, units.seconds) for part in times),
        Column("seconds", "in all", units.seconds),
        Column("others_load", "others' load", percent),
    ]
    return Section(
        "6.1 Profiling times",
        "What is measured before anything can be planned: the model's graph and noise, every layer on every "
        "server, every link. Others' load is the share of the processors in use while the bench waited.",
        [Table("profiling", columns, rows), Table("profiling-phases", _PHASES, _longest(phases), phases)],
        [Picture("profiling", "Seconds of profiling, by what is measured", lambda: draw(results))],
        [
            ThesisFigure(
                "noise profile of YOLO11x-seg, 12 int8 layers", "3,677 s", "a GPU machine (model: not at hand)"
            ),
            ThesisFigure("execution profiles"),
        ],
        findings(results),
    )


_PHASES = [
    Column("model", "model", right=False),
    Column("subject", "of", right=False),
    Column("phase", "longest phases", right=False),
    Column("seconds", "time", units.seconds),
]


def _longest(phases: list[Row]) -> list[Row]:
    return sorted(phases, key=lambda row: -row["seconds"])[:8]


def parts(model: ModelResults) -> dict[str, float]:
    """What is measured → its seconds."""
    found: dict[str, float] = {}
    for phase in model.profiling.phases:
        if phase.subject == "model":
            name = "noise" if "noise" in phase.phase else "model, otherwise"
        else:
            name = phase.subject
        found[name] = found.get(name, 0.0) + phase.seconds
    return found


def findings(results: Results) -> list[str]:
    """What agrees, what does not and why."""
    found = []
    for one in results.models:
        of = parts(one)
        noise = of.get("noise", 0.0)
        found.append(
            f"Profiling {one.name} took {units.seconds(one.profiling.seconds)}, {units.seconds(noise)} of it for the "
            f"noise of {one.profiling.noise_sets} sets of int8 layers (R² {one.profiling.noise_r2:.3f} on unseen "
            "ones)."
        )
    found.append(
        "The thesis's 3,677 s are not comparable directly: a far larger model, and a GPU. What differs by method is "
        "that here ranges are measured once, only what a set changes is run again, and measuring stops where unseen "
        "sets are predicted well, while the thesis builds, loads and runs a quantised model for each of its sets; "
        "`partita bench noise` compares both on one model."
    )
    return found


def draw(results: Results) -> Figure:
    """Stacked bars, one for each model."""
    figure = new_figure(8.0, 1.4 + 0.5 * len(results.models))
    axes = figure.subplots()
    names = list(dict.fromkeys(part for one in results.models for part in parts(one)))
    left = [0.0] * len(results.models)
    for index, name in enumerate(names):
        seconds = [parts(one).get(name, 0.0) for one in results.models]
        axes.barh([one.name for one in results.models], seconds, left=left, color=COLORS[index % 7], label=name)
        left = [before + more for before, more in zip(left, seconds, strict=True)]
    finish(axes, "profiling, by what is measured", "seconds", "", legend=False)
    figure.legend(loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
    return figure
