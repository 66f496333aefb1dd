"""``partita bench transport``, ``cutting``, ``pipeline``, ``seeing`` and ``soak``: of tensors and of requests."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import InternalError
from partita import units
from partita.cli.bench.app import bench_app, measuring, require_writable, say_stolen
from partita.cli.options import AsJson
from partita.cli.output import out, print_json, progress_bar, table


@bench_app.command("transport")
def transport(
    quick: Annotated[bool, typer.Option("--quick", help="Small tensors over loopback only, for a try.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send tensors beside a raw TCP socket: over loopback, by shared memory, and on links shaped by the kernel.

    64 KiB, 1, 4.7 and 20 MB there and a small reply back, a processor core for each side, all ways in turns: over the
    socket that tensors take by default (stream), over gRPC, and by shared memory, made there as components make large
    outputs, or written there. Takes two to three minutes. Shaped links (5, 20 and 100 MB/s) take root, ip and tc, and
    are left out where these are missing.
    """
    from bench.transport.results import summary
    from bench.transport.run import run

    with measuring("transport") as (progress, figures):
        figures |= summary(run(quick, progress))
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
    shown = table("link", "tensor", ">size", ">left", ">as it is / compressed", "planner's choice")
    for one in figures["compression"]:
        choice = "compressed" if one["chosen"] else "as it is"
        size, left = units.byte_count(one["bytes"]), f"{one['left']:.0%}"
        shown.add_row(one["link"], one["kind"], size, left, f"{one['ratio']:.2f}", choice)
    out.print(shown)
    if figures["not_shaped"]:
        out.print(f"no shaped links: {figures['not_shaped']}")
    say_stolen(figures)


@bench_app.command("cutting")
def cutting(
    quick: Annotated[bool, typer.Option("--quick", help="A small model and few rounds, for a try.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a model whole and cut in 2, 4 and 8 at its narrowest places, in turns on one thread of this machine.

    PP-OCRv4's text detector at 640 × 640. Beside it, what the tensors between the parts take to another process.
    """
    from bench.cutting.run import ROUNDS, quick_model, run, standard_model, summary

    with measuring("cutting") as (progress, figures):
        results = run(quick_model() if quick else standard_model(), 3 if quick else ROUNDS, progress)
        figures |= summary(results)
    if as_json:
        print_json(figures)
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
    say_stolen(figures)


@bench_app.command("pipeline")
def pipeline(
    turns: Annotated[int, typer.Option(min=1, help="How often whole model and halves take turns.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Steady state of a measurement.")] = 3.0,
    quick: Annotated[bool, typer.Option("--quick", help="One small model, for a try.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw answers by requests in flight.", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a model that is planned for two servers with the whole on one, a core each, while requests overlap.

    Real processes on two cores of this machine, a transformer and GoogLeNet; takes some 14 minutes. Requests come
    from this process: where one core has it all, from there, else from the second one. The whole model runs on either
    core in turns, for on a shared host one or the other is slower at times. Also measured: two whole models side by
    side, which is what the cores can do, and both servers with a link between them that is slower than they are.
    """
    from bench.pipeline.results import summary
    from bench.pipeline.run import quick_models, run, standard_models

    if picture is not None:
        require_writable(picture)
    with measuring("pipeline") as (progress, figures):
        results = asyncio.run(run(quick_models() if quick else standard_models(), turns, seconds, progress))
        figures |= summary(results)
    if as_json:
        print_json(figures)
    else:
        _show_pipeline(figures)
    if picture is not None:
        from bench.pipeline.picture import draw as draw_pipeline

        draw_pipeline(results, picture)


def _show_pipeline(figures: dict[str, Any]) -> None:
    shown = table(
        "model",
        ">cut",
        ">one core",
        ">two cores",
        ">gain",
        ">best",
        ">by processor",
        ">of at most",
        ">two wholes",
        ">of bound",
        ">core busy",
        ">alone",
        ">slow link",
    )
    for name, one in figures["models"].items():
        rates = (one["whole_answers_per_second"], one["answers_per_second"])
        names = (
            "two_core_speedup",
            "best_speedup",
            "processor_speedup",
            "cut_bound",
            "independent_speedup",
        )
        gains = (one[key] for key in names)
        shares = (one[key] for key in ("bound_ratio", "core_busy_share", "alone_bound_ratio", "link_bound_ratio"))
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
    out.print("measured in the same run, and (alone) while the other core idles; core busy: share of the time in which")
    out.print("the busier core works, on anything; slow link: share of its throughput;")
    out.print("gain: by the mean of the two cores, median of the turns; best: of the turns in which others took least;")
    out.print("by processor: processor time of an answer on the busier core, whole by divided, which other programs")
    out.print("disturb least; of at most: what both servers take together by what the slower one takes")
    say_stolen(figures)


@bench_app.command("seeing")
def seeing(
    seconds: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Of requests to each model.")] = 60.0,
    quick: Annotated[bool, typer.Option("--quick", help="One small model, for a try.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find what metrics and traces cost: processor time of requests with and without, in turns, same servers.

    Two servers in this process run a transformer's halves, and a small one's; traces go to a collector in another
    process. Computing is left out of what is compared: it is the same, and its ups and downs are larger than what is
    looked for. Takes about two minutes.
    """
    from bench.seeing.results import summary
    from bench.seeing.run import quick_models, run, standard_models

    with measuring("seeing") as (progress, figures):
        models = quick_models() if quick else standard_models()
        figures |= summary(asyncio.run(run(models, seconds, progress)))
    if as_json:
        print_json(figures)
        return
    shown = table("model", ">request", ">counting", ">a trace", ">metrics", ">metrics and traces", ">requests")
    for name, one in figures["models"].items():
        added = (one["counting_seconds"], one["tracing_seconds"])
        costs = (
            [one[f"{cost}_cost{end}"] for end in ("", "_low", "_high")] for cost in ("metrics", "metrics_and_traces")
        )
        shown.add_row(
            name,
            units.seconds(one["request_seconds"]),
            *(f"{1e6 * mean:.0f} µs ({1e6 * low:.0f}…{1e6 * high:.0f})" for mean, low, high in added),
            *(f"{mean:.2%} ({low:.2%}…{high:.2%})" for mean, low, high in costs),
            f"3 × {one['requests']}",
        )
    out.print(shown)
    reading, sending = (units.seconds(figures[f"{name}_seconds"]) for name in ("read", "send"))
    out.print(
        "processor time of a request, what is added to it beside computing, and the share of a processor that all"
    )
    out.print(f"takes where two requests a second are traced: metrics read every 15 s ({reading}) and traces sent")
    out.print(f"every 5 s ({sending}) included; in brackets: 95 % confidence")
    say_stolen(figures)


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
