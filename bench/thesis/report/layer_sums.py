"""Thesis 6.3.1 and 6.3.2: sums of layers."""

import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.thesis.layer_sums import METHODS, LayerSums
from bench.thesis.report.drawing import COLORS, FAINT, MARKERS, finish, new_figure
from bench.thesis.report.section import Picture, Section, ThesisFigure
from bench.thesis.report.table import Column, Row, Table, signed_percent
from bench.thesis.results import Results
from partita import units

THESIS_EXCESS = (0.24, 0.42)
"""By how much the thesis's sums exceed the whole."""

SLIGHT = 0.1
"""An excess that asks for no reason."""

WORDS = {"layer-by-layer": "layer by layer (thesis)", "profiler": "inside the whole model (ours)"}


def section(results: Results) -> Section:
    """Sections 6.3.1 and 6.3.2."""
    sums = [one.layer_sums for one in results.models]
    return Section(
        "6.3.1, 6.3.2 Sum of the layers against the whole, and the corrected prediction",
        "Layers timed one by one and summed, against the undivided float model (6.3.1). Then these times corrected "
        "so that they sum to the whole, as a prediction of the undivided model with none, some and all of the "
        "layers in int8 that may be (6.3.2), at the speed that the machine has when that runs, as the float model "
        "among them tells. On one thread, at the machine's own speed, in the processor's own time, which does not "
        "count what other programs take.",
        [Table("layer-sums", _SUMS, sum_rows(sums)), Table("corrected-predictions", _SETS, set_rows(sums))],
        [Picture("layer-sums", "Sum of layers against the whole model, and corrected predictions", lambda: draw(sums))],
        [
            ThesisFigure(
                "sum of layers above the whole (6.3.1)",
                "+24 % to +42 %",
                "servers with one CPU each (model: not at hand)",
            ),
            ThesisFigure("error of the corrected prediction (6.3.2)"),
        ],
        findings(sums),
    )


_SUMS = [
    Column("model", "model", right=False),
    Column("method", "layers timed", WORDS.__getitem__, right=False),
    Column("sum_seconds", "sum of layers", units.seconds),
    Column("whole_seconds", "whole model", units.seconds),
    Column("excess", "sum against whole", signed_percent),
]

_SETS = [
    Column("model", "model", right=False),
    Column("int8_layers", "int8 layers"),
    Column("measured_seconds", "measured", units.seconds),
    *(
        column
        for method in METHODS
        for column in (
            Column(f"{method}_seconds", f"predicted, {WORDS[method]}", units.seconds),
            Column(f"{method}_error", "error", signed_percent),
        )
    ),
]


def sum_rows(sums: Sequence[LayerSums]) -> list[Row]:
    """Of 6.3.1."""
    return [
        {
            "model": one.model,
            "method": method.method,
            "sum_seconds": method.sum_seconds,
            "whole_seconds": method.whole_seconds,
            "excess": method.sum_seconds / method.whole_seconds - 1,
        }
        for one in sums
        for method in one.sums
    ]


def set_rows(sums: Sequence[LayerSums]) -> list[Row]:
    """Of 6.3.2."""
    rows: list[Row] = []
    for one in sums:
        none = one.sets[0]
        for item in one.sets:
            row = {"model": one.model, "int8_layers": item.layers, "measured_seconds": item.measured_seconds}
            for method, seconds in item.predicted_seconds.items():
                # As fast as the machine was when the sets were timed, by the float model among them.
                scaled = seconds * none.measured_seconds / none.predicted_seconds[method]
                row |= {
                    f"{method}_seconds": scaled,
                    f"{method}_error": scaled / item.measured_seconds - 1,
                    f"{method}_unscaled_seconds": seconds,
                }
            rows.append(row)
    return rows


def findings(sums: Sequence[LayerSums]) -> list[str]:
    """What agrees, what does not and why."""
    found = []
    excess = [row["excess"] for row in sum_rows(sums) if row["method"] == "layer-by-layer"]
    low, high = min(excess), max(excess)
    span = signed_percent(low) if len(excess) == 1 else f"{signed_percent(low)} to {signed_percent(high)}"
    why = (
        "what the runtime fuses in the whole model is not fused then, and each layer's start is counted"
        if high > SLIGHT
        else "each layer's start costs little beside its work here, and little is fused"
    )
    relation = "more than" if low > THESIS_EXCESS[1] else "less than" if high < THESIS_EXCESS[0] else "within"
    found.append(
        f"Timed one by one, layers sum to {span} against the whole model, {relation} the thesis's "
        f"+{100 * THESIS_EXCESS[0]:.0f} % to +{100 * THESIS_EXCESS[1]:.0f} %: {why}."
    )
    errors = {
        method: [abs(row[f"{method}_error"]) for row in set_rows(sums) if row["int8_layers"]] or [0.0]
        for method in METHODS
    }
    found.append(
        "Corrected, the same times predict the undivided model within "
        + " and ".join(
            f"{max(values):.1%} at worst ({statistics.median(values):.1%} in the median) {WORDS[method]}".replace(
                "%", " %"
            )
            for method, values in errors.items()
        )
        + ". With none in int8 the correction itself makes both agree, and nearly so with all; the sets between are "
        "the test."
    )
    return found


def draw(sums: Sequence[LayerSums]) -> Figure:
    """Left: the sums, as shares of the whole. Right: predicted against measured with int8 layers."""
    figure = new_figure(10.0, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    rows = sum_rows(sums)
    for index, row in enumerate(rows):
        color = COLORS[METHODS.index(row["method"])]
        first = row["model"] == rows[0]["model"]
        left.bar(index, 1 + row["excess"], color=color, label=WORDS[row["method"]] if first else None)
    left.axhline(1.0, color=FAINT, zorder=0)
    left.set_xticks([2 * index + 0.5 for index in range(len(sums))], [one.model for one in sums])
    finish(left, "sum of layers, uncorrected", "", "times the whole model")
    points = set_rows(sums)
    for number, method in enumerate(METHODS):
        right.plot(
            [row["int8_layers"] for row in points],
            [100 * row[f"{method}_error"] for row in points],
            MARKERS[number],
            color=COLORS[number],
            label=WORDS[method],
        )
    right.axhline(0.0, color=FAINT, zorder=0)
    finish(right, "corrected prediction of the undivided model", "layers in int8", "error in %")
    return figure
