"""``partita bench prediction``, ``noise`` and ``quantization``: how true profiles are."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from partita import units
from partita.cli.bench.app import bench_app, measuring, require_writable, say_stolen
from partita.cli.options import AsJson
from partita.cli.output import out, print_json, progress_bar, table


@bench_app.command("prediction")
def prediction(
    placements: Annotated[int, typer.Option(min=1, help="Random placements of each model.")] = 20,
    requests: Annotated[int, typer.Option(min=1, help="Requests to each placement.")] = 15,
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
    plane; takes 15 to 30 minutes. Both profiles predict the same placements, by the planner's own cost model. The
    machine's speed may change between a profile and a measurement: runs of the undivided model, in turns with
    the requests, tell by how much, and predictions are scaled by it. Figures without that are given as well.
    """
    from bench.prediction.models import quick_models, standard_models
    from bench.prediction.results import summary
    from bench.prediction.run import run

    if picture is not None:
        require_writable(picture)
    with measuring("prediction") as (progress, figures):
        models = quick_models() if quick else standard_models()
        results = asyncio.run(run(models, placements, requests, seed, progress))
        figures |= summary(results)
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
    say_stolen(figures)


@bench_app.command("noise")
def noise(
    quick: Annotated[
        bool, typer.Option("--quick", help="Small inputs and few sets, for a try; no headline figures.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Profile noise fast and in the thesis's way, on the same model in one run.

    PP-OCRv4's text detector, 20 inputs, 12 int8 layers and then 32; takes some ten minutes. The thesis's way, a
    model quantised, loaded and run for each of 1,000 sets of layers, is timed on 20 sets, and its seconds are those of
    a set times 1,000. Its least squares are fitted to 1,000 sets nevertheless, whose noise the fast way measures: the
    20 sets show how far both agree.
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
