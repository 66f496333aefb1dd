"""Thesis 6.4: latency and energy against the device alone."""

import statistics
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from bench.thesis.models import REQUESTED
from bench.thesis.plans import PlannedCase
from bench.thesis.report.drawing import FAINT, MARKERS, SETS, finish, new_figure
from bench.thesis.report.plan_rows import DistinctPlan, distinct
from bench.thesis.report.section import Picture, Section, ThesisFigure
from bench.thesis.report.table import Column, Row, Table, percent
from bench.thesis.results import ModelResults, Results
from partita import units

_SPREAD = 0.7
"""Of the points of a limit on noise, where the next is 1 away."""


def section(results: Results) -> Section:
    """Section 6.4."""
    plans = distinct(results.models)
    return Section(
        "6.4 Latency and energy against the device alone",
        "Shares of what the float model takes on the device alone, which answered every other request. Energies "
        "are the declared watts of table 6.5 times seconds of computing and sending: predicted ones, and those "
        "that were measured request by request. No meter read them. The device's energy is what its battery gives; "
        "the energy of all counts the others too.",
        [Table("savings", _COLUMNS, [plan_row(plan) for plan in plans])],
        [
            Picture(
                f"savings-{model.name}", f"{model.name}: latency and energy against the device alone", _drawer(model)
            )
            for model in results.models
        ],
        [ThesisFigure("latency against the device alone"), ThesisFigure("energy against the device alone")],
        findings(results),
    )


_COLUMNS = [
    Column("model", "model", right=False),
    Column("servers", "servers", right=False),
    Column("asked", "asked", right=False),
    Column("measured_latency", "latency, measured", percent),
    Column("predicted_latency", "predicted", percent),
    Column("measured_energy", "energy of all, measured", percent),
    Column("predicted_energy", "predicted", percent),
    Column("measured_device_energy", "device's energy, measured", percent),
    Column("predicted_device_energy", "predicted", percent),
    Column("joules", "energy of all", units.joules),
    Column("noise", "noise, measured", "{:.3g}".format),
    Column("predicted_noise", "predicted", "{:.3g}".format),
]


def plan_row(plan: DistinctPlan) -> Row:
    """One plan against the device alone."""
    base, case, measured = plan.model.baseline, plan.case, plan.measured
    assert base.predicted is not None
    assert case.predicted is not None
    joules = statistics.median(one.joules for one in measured.energies)
    device = statistics.median(one.device_joules for one in measured.energies)
    of_base = statistics.median(one.joules for one in measured.baseline_energies)
    return {
        "model": plan.model.name,
        "servers": case.servers,
        "asked": plan.asked,
        "measured_latency": latency_share(plan),
        "predicted_latency": case.predicted.latency_seconds / base.predicted.latency_seconds,
        "measured_energy": joules / of_base,
        "predicted_energy": case.predicted.energy_joules / base.predicted.energy_joules,
        "measured_device_energy": device / of_base,
        "predicted_device_energy": case.predicted.device_energy_joules / base.predicted.energy_joules,
        "joules": joules,
        "device_joules": device,
        "noise": measured.noise,
        "predicted_noise": case.predicted.noise,
    }


def latency_share(plan: DistinctPlan) -> float:
    """Measured latency as a share of the device's alone, meanwhile."""
    return statistics.median(plan.measured.seconds) / statistics.median(plan.measured.baseline_seconds)


def findings(results: Results) -> list[str]:
    """What agrees, what does not and why."""
    words = []
    for model in results.models:
        rows = [plan_row(plan) for plan in distinct([model])]
        fastest, thriftiest = (min(rows, key=lambda row: row[key]) for key in ("measured_latency", "measured_energy"))
        words.append(
            f"{model.name}: the fastest plan ({fastest['servers']}; {fastest['asked']}) takes "
            f"{percent(fastest['measured_latency'])} of the device's latency, predicted "
            f"{percent(fastest['predicted_latency'])}; the thriftiest ({thriftiest['servers']}; "
            f"{thriftiest['asked']}) {percent(thriftiest['measured_energy'])} of its energy, predicted "
            f"{percent(thriftiest['predicted_energy'])}."
        )
        elsewhere = [row for row in rows if row["servers"] != "device"]
        words.append(
            f"{sum(row['measured_energy'] > 1 for row in elsewhere)} of {len(elsewhere)} plans for several servers "
            "take more energy in all than the device alone, as measured "
            f"({sum(row['predicted_energy'] > 1 for row in elsewhere)} as predicted)."
        )
        words.append(
            "The fastest plan takes, as measured and predicted, "
            + ", ".join(
                f"{percent(min(row['measured_latency'] for row in of))} and "
                f"{percent(min(row['predicted_latency'] for row in of))} of the device's latency on {servers}"
                for servers in SETS
                if (of := [row for row in rows if row["servers"] == servers])
            )
            + "."
        )
    words += _noise_words(results)
    words.append(
        "The thesis's own percentages are not at hand; what must agree is the direction: more servers and more int8 "
        "never make a plan worse by its own measure, and energy weighs against the cloud, whose watts are twelve "
        "times the device's."
    )
    return words


def _noise_words(results: Results) -> list[str]:
    plans = [plan for plan in distinct(results.models) if plan.measured.noise > 0]
    over = [plan for plan in plans if plan.measured.noise > plan.case.noise_limit]
    if not plans:
        return []
    words = [
        f"Noise as measured on {REQUESTED} inputs that no profile saw is above its limit in {len(over)} of "
        f"{len(plans)} plans that have any"
        + (
            f", up to {max(plan.measured.noise - plan.case.noise_limit for plan in over):.2g} above: limits are kept "
            "by the noise model's prediction, which is a mean over other inputs."
            if over
            else "."
        )
    ]
    if zero := [plan for plan in plans if plan.case.noise_limit == 0]:
        words.append(
            f"{len(zero)} of them are for a limit of 0: the noise polynomial predicts less than nothing for some "
            "sets of layers whose noise is small, so that planning takes them for free."
        )
    return words


def _drawer(model: ModelResults) -> Callable[[], Figure]:
    return lambda: draw(model)


def draw(model: ModelResults) -> Figure:
    """Shares by limit on noise: measured as points, predicted as dashes beside them."""
    figure = new_figure(10.0, 4.0)
    rows = {(plan.case.servers, plan.case.signature): plan_row(plan) for plan in distinct([model])}
    panels = (("latency", "latency"), ("energy", "energy of all servers"), ("device_energy", "the device's energy"))
    weights = sorted({case.latency_weight for case in model.cases})
    levels = sorted({case.noise_level for case in model.cases})
    series = [(servers, weight) for servers in SETS for weight in weights]
    for axes, (key, title) in zip(figure.subplots(1, 3), panels, strict=True):
        for number, (servers, weight) in enumerate(series):
            cases = _of(model, servers, weight)
            offset = _SPREAD * (number / max(1, len(series) - 1) - 0.5)
            places = [levels.index(case.noise_level) + offset for case in cases]
            found = [rows[servers, case.signature] for case in cases]
            predicted = [100 * row[f"predicted_{key}"] for row in found]
            axes.plot(places, predicted, "_", color="black", markersize=7, zorder=3)
            label = f"{servers}, ω {weight:g}" if key == "latency" else None
            measured = [100 * row[f"measured_{key}"] for row in found]
            marker = MARKERS[weights.index(weight) % len(MARKERS)]
            axes.plot(places, measured, marker, color=SETS[servers], label=label, markersize=5)
        axes.axhline(100.0, color=FAINT, zorder=0)
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        finish(axes, title, "noise limit η", "% of the device alone" if key == "latency" else "", legend=False)
    figure.suptitle(f"{model.name}: measured (points) and predicted (dashes)", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _of(model: ModelResults, servers: str, weight: float) -> Sequence[PlannedCase]:
    return [case for case in model.of(servers) if case.latency_weight == weight and case.signature in model.measured]
