"""Thesis 6.5: how layers are distributed."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.thesis.report.drawing import SERVERS, finish, new_figure
from bench.thesis.report.plan_rows import DistinctPlan, distinct
from bench.thesis.report.section import Picture, Section, ThesisFigure
from bench.thesis.report.table import Column, Row, Table
from bench.thesis.results import Results


def section(results: Results) -> Section:
    """Section 6.5."""
    plans = distinct(results.models)
    rows = [plan_row(plan) for plan in plans]
    every = [
        {
            "model": case.model,
            "servers": case.servers,
            "latency_weight": case.latency_weight,
            "noise_level": case.noise_level,
            "plan": case.signature,
            **{server: (case.layers or {}).get(server, 0) for server in SERVERS},
            "components": case.components,
            "int8_layers": case.int8_layers,
            "int8_wires": case.int8_wires,
        }
        for model in results.models
        for case in model.cases
    ]
    return Section(
        "6.5 Distribution of layers, components and int8 layers",
        "How many layers each server has, in how many components, and how many are int8. *Wires* are tensors that "
        "cross in int8 although all computing around them is float, which the thesis does not have.",
        [Table("distribution", _COLUMNS, rows, every)],
        [Picture("distribution", "Layers by server, plan by plan", lambda: draw(plans))],
        [
            ThesisFigure("layers, components and int8 layers by case"),
            ThesisFigure("size of its large model, YOLO11x-seg", "652 layers", "–"),
        ],
        findings(plans),
    )


_COLUMNS = [
    Column("model", "model", right=False),
    Column("servers", "servers", right=False),
    Column("asked", "asked", right=False),
    *(Column(server, server) for server in SERVERS),
    Column("components", "components"),
    Column("int8_layers", "int8 layers"),
    Column("int8_wires", "wires"),
]


def plan_row(plan: DistinctPlan) -> Row:
    """One plan."""
    case = plan.case
    return {
        "model": plan.model.name,
        "servers": case.servers,
        "asked": plan.asked,
        **{server: (case.layers or {}).get(server, 0) for server in SERVERS},
        "components": case.components,
        "int8_layers": case.int8_layers,
        "int8_wires": case.int8_wires,
    }


def findings(plans: Sequence[DistinctPlan]) -> list[str]:
    """What agrees, what does not and why."""
    rows = [plan_row(plan) for plan in plans]
    split = [row for row in rows if sum(row[server] > 0 for server in SERVERS) > 1]
    several = [row for row in rows if row["servers"] != "device"]
    words = [
        f"Of {len(several)} plans for more than one server, {len(split)} split the model, into "
        f"{_span([row['components'] for row in split])} components; the others leave it on one server."
        if split
        else f"None of {len(several)} plans for more than one server splits the model: one server alone does as well."
    ]
    if uses := [row for row in rows if row["servers"] == "device+edge+cloud"]:
        cloud = [row for row in uses if row["cloud"]]
        words.append(f"{len(cloud)} of {len(uses)} plans that may use the cloud do.")
    most = max((row["int8_layers"] for row in rows), default=0)
    wires = sum(row["int8_wires"] > 0 for row in rows)
    words.append(
        f"At most {most} layers are int8, and {wires} of {len(rows)} plans send a tensor in int8 out of float computing"
        + (": of the noise allowed, that spends little and saves three quarters of the bytes." if wires else ".")
    )
    words.append(
        "The thesis's counts are not at hand. Its plans come from the same objective, so that where links and watts "
        "are its own, as here, differences come from the model and from the ratio of the servers' speeds, which is "
        "8 : 2 : 1 here."
    )
    return words


def _span(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)}" if min(values) < max(values) else str(min(values))


def draw(plans: Sequence[DistinctPlan]) -> Figure:
    """A bar for each plan, coloured by server."""
    several = len({plan.model.name for plan in plans}) > 1
    names = [f"{plan.model.name}, " * several + f"{plan.case.servers}\n{plan.asked}" for plan in plans]
    figure = new_figure(9.0, 1.2 + 0.42 * len(plans))
    axes = figure.subplots()
    left = [0.0] * len(plans)
    for server, color in SERVERS.items():
        shares = []
        for plan in plans:
            layers = plan.case.layers or {}
            shares.append(100 * layers.get(server, 0) / max(1, sum(layers.values())))
        axes.barh(range(len(plans)), shares, left=left, color=color, label=server)
        left = [before + more for before, more in zip(left, shares, strict=True)]
    for index, plan in enumerate(plans):
        words = f"{plan.case.components} comp., {plan.case.int8_layers} + {plan.case.int8_wires} int8"
        axes.text(101, index, words, va="center", fontsize=7)
    axes.set_yticks(range(len(plans)), names, fontsize=7)
    axes.invert_yaxis()
    finish(axes, "layers by server", "% of layers", "", legend=False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure
