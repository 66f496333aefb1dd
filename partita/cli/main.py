"""The entry point: commands put together, errors turned into plain lines and exit codes."""

import sys
import traceback
from typing import Annotated

import click
import typer

from core.errors import InfeasiblePlanError, InvalidArgumentError, PartitaError
from partita.cli import cluster, deployments, infer, models, optimize, plans

FAILED, BAD_INPUT, INFEASIBLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes other than 0."""

app = typer.Typer(
    name="partita",
    help="Plans, cuts and quantises a trained ONNX model across the machines at hand, and runs it there.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (cluster, models, plans, deployments, infer, optimize):
    group.register(app)


@app.callback()
def _root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an error came from.")] = False,
) -> None:
    context.obj = debug


def exit_code(error: BaseException) -> int:
    """The exit code that stands for an error."""
    if isinstance(error, InfeasiblePlanError):
        return INFEASIBLE
    if isinstance(error, (InvalidArgumentError, OSError)):
        return BAD_INPUT
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED


def error_line(error: BaseException) -> str:
    """An error as one line for people."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.filename is not None:
        return f"error: {error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, PartitaError):
        return f"error: {text}"
    return f"error: unexpected {type(error).__name__}: {text} (partita --debug … shows where)"


def main() -> None:
    """Run the command line and end the process with its exit code."""
    debug = "--debug" in sys.argv[1:2]
    try:
        code = app(standalone_mode=False) or 0
    except click.exceptions.Abort:
        code = _report(KeyboardInterrupt(), debug)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the border: the user gets a line, not a traceback
        code = _report(error, debug)
    sys.exit(code)


def _report(error: BaseException, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    sys.stderr.write(error_line(error) + "\n")
    return exit_code(error)
