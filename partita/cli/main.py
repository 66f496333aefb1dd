"""The entry point: runs a command and turns its error into a plain line and an exit code."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FAILED, BAD_INPUT, INFEASIBLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes other than 0."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        with plain_interrupts():
            from partita.cli.app import app
        # Standing alone, typer would print wrong usage in a box, and what commands return means nothing.
        code = app(standalone_mode=False, prog_name="partita")
        sys.exit(code if isinstance(code, int) else 0)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            sys.stderr.write("interrupted\n")
        raise
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the border: the user gets a line, not a traceback
        if "--debug" in sys.argv[1:2]:
            import traceback

            traceback.print_exception(error)
        if text := error_text(error):
            sys.stderr.write(text + "\n")
        sys.exit(exit_code(error))


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """End the process at once on Ctrl-C while modules are imported: some of them swallow a KeyboardInterrupt."""

    def end(*_: object) -> None:
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def exit_code(error: Exception) -> int:
    """The exit code that stands for an error."""
    from core.errors import InfeasiblePlanError, InvalidArgumentError

    if isinstance(error, InfeasiblePlanError):
        return INFEASIBLE
    return BAD_INPUT if _is_usage(error) or isinstance(error, (InvalidArgumentError, OSError)) else FAILED


def error_text(error: Exception) -> str:
    """An error as one line for people, or two where the second says how to go on; empty where all was said."""
    from core.errors import PartitaError

    if _is_usage(error):
        context: Any = getattr(error, "ctx", None)
        path = context.command_path if context else "partita"
        wrong = _line(error.format_message())  # type: ignore[attr-defined]
        return f"error: {wrong}\n{path} --help tells how it is called" if wrong else ""
    if isinstance(error, OSError) and error.filename is not None:
        return f"error: {error.filename}: {error.strerror}"
    text = _line(str(error))
    if text.startswith("the Deployer at ") and "cannot be reached" in text:
        return f"error: {text}\nstart a cluster with partita up, or say where it is with --address or PARTITA_ADDRESS"
    if isinstance(error, PartitaError):
        return f"error: {text}"
    return f"error: unexpected {type(error).__name__}: {text} (partita --debug … shows where)"


def _is_usage(error: Exception) -> bool:
    """Whether typer found the command line wrong; by its looks, as typer's own copy of click is private."""
    return hasattr(error, "format_message")


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
