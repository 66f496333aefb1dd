"""Thesis 6.6: planning time."""

import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.thesis.report.drawing import COLORS, MARKERS, finish, new_figure
from bench.thesis.report.section import Picture, Section, ThesisFigure
from bench.thesis.report.table import Column, Row, Table
from bench.thesis.results import Results
from bench.thesis.scalability import THESIS_LAYERS, THESIS_SERVERS, PlanningTime
from partita import units

THESIS_SECONDS = (10.0, 47.0)
"""What the thesis's program takes for its large model on three servers."""

WORDS = {"exact": "exact (ours)", "literal": "the thesis's program in HiGHS"}


def section(results: Results) -> Section:
    """Section 6.6."""
    static = [time_row(one) for one in results.planning if one.kind == "static"]
    every = [time_row(one) for one in results.planning]
    return Section(
        "6.6 Scalability of planning",
        "Seconds from a problem in memory to its plan, on one thread, ω 0.5. *Static*: the measured models on two "
        "and more servers (beyond three, slower copies of edge and cloud), and a model of some 650 layers made "
        "like the thesis's YOLO11x-seg, with 12 int8 layers and limits on noise and the device's energy. *Random*: "
        "branched models drawn as in the thesis, on random servers; medians where there are several.",
        [
            Table("scalability-static", _STATIC, static),
            Table("scalability-random", _RANDOM, random_rows(results), every),
        ],
        [Picture("scalability", "Planning time by layers and servers", lambda: draw(results.planning))],
        [
            ThesisFigure("652 layers, 3 servers", "10 to 47 s", "solver and processor not at hand"),
            ThesisFigure("652 layers, 6 servers", "over 200 s", "solver and processor not at hand"),
        ],
        findings(results.planning),
    )


_STATIC = [
    Column("model", "model", right=False),
    Column("layers", "layers"),
    Column("servers", "servers"),
    Column("method", "method", WORDS.__getitem__, right=False),
    Column("seconds", "planning time", units.seconds),
    Column("stopped", "stopped", lambda stopped: "by the limit" if stopped else ""),
    Column("components", "components"),
]

_RANDOM = [
    Column("layers", "layers"),
    Column("servers", "servers"),
    Column("models", "models"),
    Column("seconds", "planning time", units.seconds),
    Column("slowest_seconds", "slowest", units.seconds),
]


def time_row(one: PlanningTime) -> Row:
    """One planning time."""
    return {**vars(one), "components": one.components or None}


def random_rows(results: Results) -> list[Row]:
    """Random models by size."""
    sizes: dict[tuple[int, int], list[PlanningTime]] = {}
    for one in results.planning:
        if one.kind == "random":
            sizes.setdefault((one.layers, one.servers), []).append(one)
    return [
        {
            "layers": layers,
            "servers": servers,
            "models": len(times),
            "seconds": statistics.median(one.seconds for one in times),
            "slowest_seconds": max(one.seconds for one in times),
        }
        for (layers, servers), times in sizes.items()
    ]


def findings(times: Sequence[PlanningTime]) -> list[str]:
    """What agrees, what does not and why."""
    words = []
    large = next((one for one in times if one.model == "YOLO-like"), None)
    if large is not None and not large.stopped:
        ratios = [seconds / large.seconds for seconds in THESIS_SECONDS]
        words.append(
            f"{large.layers} layers on {large.servers} servers are planned in {units.seconds(large.seconds)}, where "
            f"the thesis takes {THESIS_SECONDS[0]:g} to {THESIS_SECONDS[1]:g} s for its {THESIS_LAYERS} on "
            f"{THESIS_SERVERS}: {ratios[0]:.0f} to {ratios[1]:.0f} times the time, on another machine and another, "
            "though similar, model."
        )
    random = [one for one in times if one.kind == "random" and not one.stopped]
    if random:
        most = max(random, key=lambda one: one.seconds)
        words.append(
            f"The slowest random model ({most.layers} layers, {most.servers} servers) takes "
            f"{units.seconds(most.seconds)}; the thesis's time grows from under a minute to over 200 s between three "
            "servers and six."
        )
        words += _growth(random)
    stopped = [one for one in times if one.stopped and one.method == "exact"]
    if stopped:
        words.append(f"{len(stopped)} plans were stopped by the time limit.")
    literal = [one for one in times if one.method == "literal"]
    for one in literal:
        same = (one.model, one.servers, "exact")
        exact = next((other for other in times if (other.model, other.servers, other.method) == same), None)
        if exact is not None:
            least = "at least " if one.stopped else ""
            words.append(
                f"For {one.model} on {one.servers} servers the thesis's own program, solved by HiGHS on this "
                f"machine, takes {least}{one.seconds / exact.seconds:.0f} times as long."
            )
    words.append(
        "The reason is the method: elimination over a graph of small treewidth is linear in the layers, while the "
        "thesis's program has a variable for each tensor and pair of servers."
    )
    return words


def _growth(random: Sequence[PlanningTime]) -> list[str]:
    most = max(one.servers for one in random)
    by_layers: dict[int, list[float]] = {}
    for one in random:
        if one.servers == most:
            by_layers.setdefault(one.layers, []).append(one.seconds)
    if len(by_layers) < 2:
        return []
    few, many = min(by_layers), max(by_layers)
    longer = statistics.median(by_layers[many]) / statistics.median(by_layers[few])
    return [f"On {most} servers, {many / few:.1f} times the layers take {longer:.1f} times the time."]


def draw(times: Sequence[PlanningTime]) -> Figure:
    """Left: given models by servers. Right: random ones by layers, a line for each number of servers."""
    figure = new_figure(10.0, 3.8)
    left, right = figure.subplots(1, 2, sharey=True)
    static = [one for one in times if one.kind == "static"]
    for index, key in enumerate(dict.fromkeys((one.model, one.method) for one in static)):
        of = [one for one in static if (one.model, one.method) == key]
        label = f"{of[0].layers} layers: {key[0]}" + (", thesis's program" if key[1] == "literal" else "")
        left.plot([one.servers for one in of], [one.seconds for one in of], f"{MARKERS[index % 7]}-",
                  color=COLORS[index % 7], label=label)  # fmt: skip
    left.errorbar(
        [THESIS_SERVERS],
        [sum(THESIS_SECONDS) / 2],
        yerr=(THESIS_SECONDS[1] - THESIS_SECONDS[0]) / 2,
        color="black",
        capsize=3,
        label=f"{THESIS_LAYERS} layers: the thesis (other machine)",
    )
    left.plot([6], [200], "k^", label="the thesis: more than this")
    random = [one for one in times if one.kind == "random"]
    for index, servers in enumerate(sorted({one.servers for one in random})):
        layers = sorted({one.layers for one in random if one.servers == servers})
        medians = [
            statistics.median(one.seconds for one in random if (one.servers, one.layers) == (servers, size))
            for size in layers
        ]
        right.plot(layers, medians, f"{MARKERS[index % 7]}-", color=COLORS[index % 7], label=f"{servers} servers")
    left.set_yscale("log")
    left.set_xticks(sorted({one.servers for one in static} | {6}))
    finish(left, "static: given models", "servers", "seconds of planning")
    finish(right, "random models", "layers", "")
    return figure
