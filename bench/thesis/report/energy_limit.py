"""Thesis 6.7: a limit on the device's energy."""

import statistics
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from bench.thesis.plans import PlannedCase
from bench.thesis.report.drawing import COLORS, FAINT, SERVERS, finish, new_figure
from bench.thesis.report.section import Picture, Section, ThesisFigure
from bench.thesis.report.table import Column, Row, Table, percent, signed_percent
from bench.thesis.results import ModelResults, Results
from partita import units


def section(results: Results) -> Section:
    """Section 6.7."""
    rows = [row for model in results.models for row in model_rows(model)]
    return Section(
        "6.7 A limit on the device's energy",
        "The fastest plan on all servers, first without a limit on the device's energy per request, then with ever "
        "tighter ones down to what the device needs at least by any plan, and with one below that. Plans are "
        "deployed and measured as in 6.3.3.",
        [Table("energy-limit", _COLUMNS, rows)],
        [
            Picture(f"energy-limit-{model.name}", f"{model.name}: latency by the device's energy limit", _drawer(model))
            for model in results.models
        ],
        [ThesisFigure("latency and placement under the device's energy limit")],
        findings(results),
    )


_COLUMNS = [
    Column("model", "model", right=False),
    Column("limit_joules", "limit", units.joules),
    Column("device_joules", "device, predicted", units.joules),
    Column("measured_device_joules", "measured", units.joules),
    Column("latency_seconds", "latency, predicted", units.seconds),
    Column("measured_seconds", "measured", units.seconds),
    *(Column(server, f"layers on {server}") for server in SERVERS),
    Column("int8", "int8"),
    Column("status", "plan", right=False),
]


def model_rows(model: ModelResults) -> list[Row]:
    """The limits of one model."""
    return [_row(model, case) for case in model.energy.cases]


def _row(model: ModelResults, case: PlannedCase) -> Row:
    measured = model.measurement(case)
    predicted = case.predicted
    return {
        "model": model.name,
        "limit_joules": case.device_energy_limit,
        "device_joules": predicted and predicted.device_energy_joules,
        "measured_device_joules": measured and statistics.median(one.device_joules for one in measured.energies),
        "latency_seconds": predicted and predicted.latency_seconds,
        "measured_seconds": measured and statistics.median(measured.seconds),
        "device_only_seconds": measured and statistics.median(measured.baseline_seconds),
        **{server: None if predicted is None else (case.layers or {}).get(server, 0) for server in SERVERS},
        "int8": None if predicted is None else case.int8_layers + case.int8_wires,
        "status": case.status,
        "reason": case.reason,
    }


def findings(results: Results) -> list[str]:
    """What agrees, what does not and why."""
    words = []
    for model in results.models:
        rows = [row for row in model_rows(model) if row["latency_seconds"] is not None]
        if not rows:
            words.append(f"{model.name}: there was no plan without a limit.")
            continue
        free, least = rows[0], rows[-1]
        base = model.baseline.predicted
        assert base is not None
        words.append(
            f"{model.name}: the fastest plan takes {units.joules(free['device_joules'])} of the device, "
            f"{percent(free['device_joules'] / base.energy_joules)} of what it needs alone, and no plan takes less "
            f"than {units.joules(model.energy.least_joules)}."
        )
        if least["device_joules"] < 0.99 * free["device_joules"]:
            longer = least["latency_seconds"] / free["latency_seconds"] - 1
            taken = least["measured_seconds"] / free["measured_seconds"] - 1
            words.append(
                f"Going down to that costs {signed_percent(longer)} of latency, measured {signed_percent(taken)}: "
                f"layers on {', '.join(SERVERS)} go from {_places(free)} to {_places(least)}."
            )
        else:
            words.append(
                "The fastest plan is the thriftiest for the device, too, so that no limit that can be met changes it."
            )
        over = [
            row["measured_device_joules"] / row["limit_joules"] - 1
            for row in rows
            if row["limit_joules"] is not None and row["measured_device_joules"] is not None
        ]
        if over:
            words.append(
                f"As measured, the device's energy is {signed_percent(statistics.median(over))} off its limit in the "
                f"median and {signed_percent(max(over))} at worst: a limit is kept by prediction, and as true as "
                "that."
            )
        refused = [case for case in model.energy.cases if case.status == "infeasible"]
        if refused:
            words.append(f"Below, the answer is: “{refused[-1].reason}”.")
    words.append("The thesis's own curve is not at hand.")
    return words


def _places(row: Row) -> str:
    return ", ".join(str(row[server]) for server in SERVERS)


def _drawer(model: ModelResults) -> Callable[[], Figure]:
    return lambda: draw(model)


def draw(model: ModelResults) -> Figure:
    """Latency, predicted and measured, by what the device spends."""
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    rows: Sequence[Row] = [row for row in model_rows(model) if row["latency_seconds"] is not None]
    spent = [1e3 * row["device_joules"] for row in rows]
    axes.plot(spent, [1e3 * row["latency_seconds"] for row in rows], "s--", color=COLORS[0], label="predicted (sum)")
    measured = [(1e3 * row["device_joules"], 1e3 * row["measured_seconds"]) for row in rows if row["measured_seconds"]]
    if measured:
        axes.plot(*zip(*measured, strict=True), "o-", color=COLORS[1], label="measured")
    axes.axvline(1e3 * model.energy.least_joules, color=FAINT, zorder=0, label="least that any plan needs")
    axes.set_ylim(bottom=0)
    finish(
        axes,
        f"{model.name}: fastest plan within a limit on the device's energy",
        "device's energy, predicted, mJ",
        "latency, ms",
    )
    return figure
