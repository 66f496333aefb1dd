"""``partita bench batching``."""

import asyncio
from typing import Annotated

import typer

from partita import units
from partita.cli.bench.app import bench_app, measuring, say_stolen
from partita.cli.options import AsJson
from partita.cli.output import out, print_json, table


@bench_app.command("batching")
def batching(
    turns: Annotated[int, typer.Option(min=1, help="How often the two deployments take turns.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Steady state of a measurement.")] = 4.0,
    quick: Annotated[bool, typer.Option("--quick", help="One model, for a try.")] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy whole models on one server with micro-batches and without, and load both in turns.

    A perceptron whose weights take longer to read than to multiply with, a small classifier, a small transformer and
    GoogLeNet, one thread, 24 requests in flight; takes two minutes. Where running together is not quicker the server
    does not do it.
    """
    from bench.batching.models import quick_models, standard_models
    from bench.batching.run import run, summary

    with measuring("batching") as (progress, figures):
        models = quick_models() if quick else standard_models()
        figures |= summary(asyncio.run(run(models, turns, seconds, progress)))
    if as_json:
        print_json(figures)
        return
    shown = table("model", ">alone", ">together", ">gain", ">requests at once", ">latency alone", ">together")
    for one in figures["models"]:
        shown.add_row(
            one["model"],
            *(f"{one[f'{way}_per_second']:.1f}/s" for way in ("alone", "together")),
            f"{one['gain']:.2f} ×",
            f"{one['requests_at_once']:.1f}",
            *(units.seconds(one[f"{way}_latency_seconds"]) for way in ("alone", "together")),
        )
    out.print(shown)
    out.print(f"at most {figures['micro_batch']} at once, {figures['in_flight']} requests in flight all the time")
    say_stolen(figures)
