"""``partita bench thesis``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from partita import units
from partita.cli.bench.app import bench_app, require_matplotlib
from partita.cli.options import AsJson, pairs, shape
from partita.cli.output import out, print_json, progress_bar, table


@bench_app.command("thesis")
def thesis(
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Where the report and all raw data go.", file_okay=False)
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="A small model and fewer cases: within ten minutes on two cores.")
    ] = False,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", metavar="FILE.onnx", help="A model of yours; repeatable.", exists=True, dir_okay=False),
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=1x3x640x640", help="Fixed shape of a dynamic input of --model; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with what the directory holds, or begin anew.")
    ] = True,
    testbed: Annotated[
        Literal["lab", "emulated"] | None,
        typer.Option(
            "--testbed",
            help="lab: network namespaces, which need root; emulated: the links of partita up. "
            "Default: the lab where it can be made.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Redo the experiments of the thesis's chapter 6 on its testbed, and write a report of them.

    Profiling times; sums of layers against the whole; predicted against measured latency of plans in force on one to
    three servers; latency and energy against the device alone; how layers are distributed; planning time; the device's
    energy limit. Leaves report.md, report.html, tables/*.csv, figures/*.png and raw/*.json. A run that was interrupted
    goes on when it is started again.
    """
    require_matplotlib("the report's pictures need")
    from bench.thesis.models import file_model, packaged_model
    from bench.thesis.report.page import write_report
    from bench.thesis.report.summary import summary
    from bench.thesis.run import run
    from bench.thesis.sizes import FULL, QUICK

    shapes = {name: shape(text) for name, text in pairs(input_shape, "--input-shape", "NAME=1x3x640x640").items()}
    models = [file_model(path, shapes) for path in model or ()] or [packaged_model(quick)]
    with progress_bar("bench thesis") as progress:
        results = run(models, QUICK if quick else FULL, output, testbed, resume, progress)
    write_report(results, output)
    figures = summary(results)
    if as_json:
        print_json(figures)
        return
    shown = table("model", ">plans", ">median error", ">worst", ">least latency", ">least energy", ">profiling")
    for name, one in figures["models"].items():
        shares = (one["median_error"], one["worst_error"], one["least_latency"], one["least_energy"])
        shown.add_row(
            name, str(one["plans"]), *(f"{share:.1%}" for share in shares), units.seconds(one["profiling_seconds"])
        )
    out.print(shown)
    out.print(
        "errors of predicted latency (sum); least latency and energy as shares of the device's alone, as measured"
    )
    out.print(f"\n{output / 'report.md'}  {output / 'report.html'}")
