"""``partita bench``: measurements that anyone can repeat."""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import InternalError, InvalidArgumentError
from partita import units
from partita.cli.options import AsJson
from partita.cli.output import out, print_json, progress_bar, table

if TYPE_CHECKING:
    from bench.planning.results import CaseResult, Results, Timing

bench_app = typer.Typer(help="Measure, on this machine.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bench_app, name="bench")


@bench_app.callback()
def _group() -> None:
    """Measure, on this machine."""


@bench_app.command("planning")
def planning(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PROBLEM.json]…", help="Problem files to measure too, exact against ilp."),
    ] = None,
    literal_limit: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="When to stop the thesis's program on 6 servers; on others after a quarter.",
        ),
    ] = 1200.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small problems only, for a try; no headline figures.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE.png", help="Draw the times.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time planning: exact, the tight integer program and the thesis's own program, side by side.

    All on one thread, each run in a process of its own; takes most of an hour. Ends with an error where two methods
    disagree on an optimum by more than a millionth. The thesis's program takes minutes, so it runs on four cases only:
    a chain of 500 layers, branched models of 700 layers on 3 and on 6 servers, and a YOLO-like model.
    """
    from bench.planning.cases import file_case, quick_cases, standard_cases
    from bench.planning.results import summary
    from bench.planning.run import run

    if picture is not None:
        _require_writable(picture)
    cases = [*map(file_case, files or ()), *(quick_cases() if quick else standard_cases())]
    with progress_bar("bench planning") as progress:
        results = run(cases, literal_limit, quick, progress)
    figures = summary(results)
    if as_json:
        print_json(figures)
    else:
        _show(results, figures)
    if picture is not None:
        from bench.planning.picture import draw

        draw(results, picture)
    if figures["failures"]:
        raise InternalError("; ".join(figures["failures"]))


@bench_app.command("prediction")
def prediction(
    placements: Annotated[int, typer.Option(min=1, help="Random placements of each model.")] = 20,
    requests: Annotated[int, typer.Option(min=1, help="Requests to each placement.")] = 9,
    seed: Annotated[int, typer.Option(help="Of the placements.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="One small model only, for a try.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw predicted against measured.", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare predicted with measured latency of random placements, by our profile and by the thesis's.

    Three models, each cut and partly quantised at random, run on three servers of unequal speed behind the real data
    plane; takes some ten minutes. Both profiles predict the same placements, by the planner's own cost model. The
    machine's speed may change between a profile and a measurement: requests to the undivided model, in turns with
    the others, tell by how much, and predictions are scaled by it. Figures without that are given as well.
    """
    from bench.prediction.models import quick_models, standard_models
    from bench.prediction.results import summary
    from bench.prediction.run import run

    if picture is not None:
        _require_writable(picture)
    with progress_bar("bench prediction") as progress:
        models = quick_models() if quick else standard_models()
        results = asyncio.run(run(models, placements, requests, seed, progress))
    figures = summary(results)
    if as_json:
        print_json(figures)
    else:
        _show_prediction(figures)
    if picture is not None:
        from bench.prediction.picture import draw as draw_prediction

        draw_prediction(results, picture)


def _show_prediction(figures: dict[str, Any]) -> None:
    shown = table("model", ">ours", ">95 %", ">thesis", ">95 %", ">ours, components", ">thesis, components")
    rows = {**figures["models"], f"all {figures['plans']} placements": figures}
    for name, one in rows.items():
        names = ("median_error", "p95_error", "thesis_median_error", "thesis_p95_error")
        parts = ("component_median_error", "thesis_component_median_error")
        shown.add_row(name, *(f"{one[key]:.1%}" for key in (*names, *parts)))
    out.print(shown)
    out.print("absolute relative errors, median and 95th percentile, of latency end to end, and medians of components")
    out.print(
        f"two measurements of the same placement, in turns, are {figures['noise_median']:.1%} and "
        f"{figures['noise_p95']:.1%} apart"
    )
    out.print(
        f"not scaled by the machine's speed meanwhile: {figures['unscaled_median_error']:.1%} and "
        f"{figures['unscaled_p95_error']:.1%}, thesis {figures['thesis_unscaled_median_error']:.1%} and "
        f"{figures['thesis_unscaled_p95_error']:.1%}"
    )


@bench_app.command("noise")
def noise(
    quick: Annotated[
        bool, typer.Option("--quick", help="Small inputs and few sets, for a try; no headline figures.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Profile noise fast and in the thesis's way, on the same model in one run.

    PP-OCRv4's text detector, 20 inputs, 12 int8 layers and then 32; takes some twenty minutes. The thesis's way, a
    model quantised, loaded and run for each of 1,000 sets of layers, is timed on 40 sets, and its seconds are those of
    a set times 1,000. Its least squares are fitted to 1,000 sets nevertheless, whose noise the fast way measures: the
    40 sets show how far both agree.
    """
    from bench.noise.results import summary
    from bench.noise.run import QUICK, Sizes, run

    with progress_bar("bench noise") as progress:
        figures = summary(run(QUICK if quick else Sizes(), progress))
    if as_json:
        print_json(figures)
    else:
        _show_noise(figures)


def _show_noise(figures: dict[str, Any]) -> None:
    fast, wide, by_set = figures["fast"], figures["wide"], figures["thesis_seconds_by_set"]
    shown = table("way", ">layers", ">sets", ">time", ">R² unseen", ">R² stated", ">error, 95 %", ">covered")
    shown.add_row(
        "thesis",
        str(fast["layers"]),
        "1000",
        f"{units.seconds(figures['thesis_seconds'])}, scaled",
        f"{figures['thesis_r2']:.4f}",
        *("–",) * 3,
    )
    for one in (fast, wide):
        shown.add_row(
            "fast",
            str(one["layers"]),
            str(one["sets"]),
            units.seconds(one["seconds"]),
            f"{one['r2']:.4f}",
            f"{one['stated_r2']:.4f}",
            f"{one['error'] / one['mean_noise']:.1%} of the mean",
            f"{one['covered']:.1%}",
        )
    out.print(shown)
    out.print(f"{figures['speedup']:.0f} times faster; both on {figures['inputs']} inputs")
    out.print(
        f"thesis: timed on {figures['thesis_sampled_sets']} sets (a set: {units.seconds(by_set['quantize'])} to "
        f"quantise, {units.seconds(by_set['load'])} to load, {units.seconds(by_set['run'])} to run); its least squares "
        f"fitted to {figures['thesis_trained_sets']} sets measured the fast way"
    )
    out.print(
        f"both ways' noise on those {figures['thesis_sampled_sets']} sets: R² {figures['agreement_r2']:.4f}, "
        f"median difference {figures['agreement_median_difference']:.2%}"
    )
    out.print(
        f"R² unseen: on {figures['unseen_sets']} sets that no fit has seen; covered: those within the error stated"
    )


@bench_app.command("pipeline")
def pipeline(
    turns: Annotated[int, typer.Option(min=1, help="How often whole model and halves take turns.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Steady state of a measurement.")] = 4.0,
    quick: Annotated[bool, typer.Option("--quick", help="One small model, for a try.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw answers by requests in flight.", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two halves of a model on two servers with the whole on one, a core each, while requests overlap.

    Real processes on two cores of this machine, a transformer and GoogLeNet; takes some three minutes. Requests come
    from this process, which uses both cores too. Also measured: two whole models side by side, which is what the cores
    can do, and the halves with a link between them that is slower than both.
    """
    from bench.pipeline.results import summary
    from bench.pipeline.run import quick_models, run, standard_models

    if picture is not None:
        _require_writable(picture)
    with progress_bar("bench pipeline") as progress:
        results = asyncio.run(run(quick_models() if quick else standard_models(), turns, seconds, progress))
    figures = summary(results)
    if as_json:
        print_json(figures)
    else:
        _show_pipeline(figures)
    if picture is not None:
        from bench.pipeline.picture import draw as draw_pipeline

        draw_pipeline(results, picture)


def _show_pipeline(figures: dict[str, Any]) -> None:
    shown = table(
        "model", ">cut", ">one core", ">two cores", ">gain", ">two wholes", ">of bound", ">alone", ">slow link"
    )
    for name, one in figures["models"].items():
        rates = (one["whole_answers_per_second"], one["answers_per_second"])
        gains = (one["two_core_speedup"], one["independent_speedup"])
        shares = (one["bound_ratio"], one["alone_bound_ratio"], one["link_bound_ratio"])
        shown.add_row(
            name,
            units.byte_count(one["crossing_bytes"]),
            *(f"{rate:.1f}/s" for rate in rates),
            *(f"{gain:.2f} ×" for gain in gains),
            *(f"{share:.0%}" for share in shares),
        )
    out.print(shown)
    in_flight = next(iter(figures["models"].values()))["in_flight"]
    out.print(
        f"steady state with {in_flight} requests in flight; bound: what the busiest server computes for a request,"
    )
    out.print("measured in the same run, and (alone) while the other core idles; slow link: share of its throughput")


@bench_app.command("quantization")
def quantization(
    rounds: Annotated[int, typer.Option(min=1, help="How often each variant is timed.")] = 31,
    quick: Annotated[bool, typer.Option("--quick", help="A small network, for a try.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare ways to int8, latency and noise, on every execution provider here.

    The 12 and the 40 heaviest layers of PP-OCRv4's text detector and of convolutions with SiLU. Variants take
    turns on one thread; noise is against the float model on the same provider.
    """
    from bench.quantization.models import quick_models, standard_models
    from bench.quantization.run import run

    with progress_bar("bench quantization") as progress:
        models, counts = (quick_models(), [12]) if quick else (standard_models(), [12, 40])
        results = run(models, counts, rounds, progress)
    if as_json:
        print_json({"variants": results})
        return
    shown = table("model", "provider", ">int8 layers", "variant", ">time", ">of float", ">noise", ">of outputs")
    for one in results:
        times = (units.seconds(one.seconds), f"{one.ratio:.2f}")
        noise_of = (f"{one.noise:.3g}", f"{one.relative_noise:.2%}")
        layers = str(one.layers) if one.variant != "float" else "–"
        provider = one.provider.removesuffix("ExecutionProvider")
        shown.add_row(one.model, provider, layers, one.variant, *times, *noise_of)
    out.print(shown)


@bench_app.command("soak")
def soak(
    seconds: Annotated[float, typer.Option(min=1, help="How long faults happen.")] = 1800.0,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Keep 20 requests in flight while processes die, stop and lose their connections, and count how each ended.

    Control services and three servers, a process each. Ends with an error where a request did not end soon after its
    deadline, an answer was not the whole model's, an error had no type, or requests did not succeed again by
    themselves after the last fault.
    """
    from bench.soak.run import Soak
    from bench.soak.run import run as run_soak

    with progress_bar("bench soak") as progress:
        result = asyncio.run(run_soak(Soak(seconds, seed), progress=progress))
    figures = result.summary()
    if as_json:
        print_json(figures)
    else:
        shown = table("figure", ">value")
        for name, value in figures.items():
            if not isinstance(value, dict):
                shown.add_row(name.replace("_", " "), f"{value:,.1f}" if isinstance(value, float) else str(value))
        out.print(shown)
        for name, count in figures["errors"].items():
            out.print(f"{count} × {name}, for example: {figures['error_examples'][name]}")
    if complaints := result.complaints():
        raise InternalError("; ".join(complaints))


@bench_app.command("transport")
def transport(
    quick: Annotated[bool, typer.Option("--quick", help="Small tensors over loopback only, for a try.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send tensors beside a raw TCP socket: over loopback, by shared memory, and on links shaped by the kernel.

    64 KiB, 1, 4.7 and 20 MB there and a small reply back, a processor core for each side, all ways in turns; takes
    about a minute. Shaped links (5, 20 and 100 MB/s) take root, ip and tc, and are left out where these are missing.
    """
    from bench.transport.results import summary
    from bench.transport.run import run

    with progress_bar("bench transport") as progress:
        figures = summary(run(quick, progress))
    if as_json:
        print_json(figures)
    else:
        _show_transport(figures)


def _show_transport(figures: dict[str, Any]) -> None:
    shown = table("link", "way", ">size", ">there and back", ">of the raw socket")
    for link, rows in figures["links"].items():
        for one in rows:
            size = units.byte_count(one["bytes"])
            shown.add_row(
                link, one["way"].replace("_", " "), size, units.seconds(one["seconds"]), f"{one['ratio']:.0%}"
            )
    out.print(shown)
    if figures["not_shaped"]:
        out.print(f"no shaped links: {figures['not_shaped']}")


@bench_app.command("cutting")
def cutting(
    quick: Annotated[bool, typer.Option("--quick", help="A small model and few rounds, for a try.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a model whole and cut in 2, 4 and 8 at its narrowest places, in turns on one thread of this machine.

    PP-OCRv4's text detector at 640 × 640. Beside it, what the tensors between the parts take to another process.
    """
    from bench.cutting.run import ROUNDS, quick_model, run, standard_model, summary

    with progress_bar("bench cutting") as progress:
        results = run(quick_model() if quick else standard_model(), 3 if quick else ROUNDS, progress)
    if as_json:
        print_json(summary(results))
        return
    shown = table("parts", ">time", ">overhead", ">tensors", ">bytes", ">hops", ">raw socket")
    shown.add_row("whole", units.seconds(results.whole_seconds), *("–",) * 5)
    for cut in results.cuts:
        shown.add_row(
            str(cut.parts),
            units.seconds(cut.seconds),
            f"{cut.overhead:+.1%}",
            str(len(cut.crossing_bytes)),
            units.byte_count(sum(cut.crossing_bytes)),
            units.seconds(cut.hop_seconds),
            units.seconds(cut.raw_seconds),
        )
    out.print(shown)
    out.print(f"{results.model}; hops: to another process of this machine and the reply back, added up")


def _require_writable(picture: Path) -> None:
    """Find out before an hour of measuring, not after it, that the picture cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise InvalidArgumentError("--picture needs matplotlib; install it with `pip install 'partita[pictures]'`")
    if not picture.parent.is_dir():
        raise InvalidArgumentError(f"--picture {picture}: there is no directory {picture.parent}")


def _show(results: "Results", figures: dict[str, Any]) -> None:
    shown = table("case", ">layers", ">exact", ">ilp", ">literal", ">ilp / exact", ">literal / exact", ">memory")
    for one in results.cases:
        exact = one.timings.get("exact")
        shown.add_row(
            one.case.name,
            "–" if one.plan is None else str(one.plan.layers),
            *(_seconds(one.timings.get(method)) for method in ("exact", "ilp", "literal")),
            *(_ratio(one, method) for method in ("ilp", "literal")),
            units.byte_count(None if exact is None else exact.peak_memory_bytes),
        )
    out.print(shown)
    layers = "200" if results.quick else "1,850"
    out.print(f"components of {layers} scattered layers: {units.seconds(results.components.seconds)}")
    out.print(f"largest memory of the exact method's processes: {units.byte_count(figures['peak_memory_bytes'])}")
    out.print("seconds by the clock, medians; ratios by processor time; ≥: stopped by its limit")


def _seconds(timing: "Timing | None") -> str:
    if timing is None:
        return "–"
    return ("≥ " if timing.stopped else "") + units.seconds(timing.seconds)


def _ratio(one: "CaseResult", method: str) -> str:
    ratio = one.ratio(method)  # type: ignore[arg-type]
    if ratio is None:
        return "–"
    stopped = one.timings[method].stopped  # type: ignore[index]
    return ("≥ " if stopped else "") + (f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}")
