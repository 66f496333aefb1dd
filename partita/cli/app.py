"""All commands put together."""

from typing import Annotated

import typer

from core.version import partita_version
from partita.cli import bench, cluster, deployments, doctor, infer, lab, models, optimize, plans, trace
from partita.cli.examples import show_examples

app = typer.Typer(
    name="partita",
    help="Plans, cuts and quantises a trained ONNX model across the machines at hand, and runs it there.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (cluster, models, plans, deployments, infer, optimize, trace, lab, bench, doctor):
    group.register(app)
show_examples(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"Partita {partita_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an error came from.")] = False,
) -> None:
    # Read in main.py, before anything can fail.
    del debug, version
