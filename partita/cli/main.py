"""The entry point: runs a command and turns its error into a plain line and an exit code."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FAILED, BAD_INPUT, INFEASIBLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes other than 0."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        with plain_interrupts():
            from partita.cli.app import app
        app()
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
        sys.stderr.write(error_line(error) + "\n")
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
    return BAD_INPUT if isinstance(error, (InvalidArgumentError, OSError)) else FAILED


def error_line(error: Exception) -> str:
    """An error as one line for people."""
    from core.errors import PartitaError

    if isinstance(error, OSError) and error.filename is not None:
        return f"error: {error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, PartitaError):
        return f"error: {text}"
    return f"error: unexpected {type(error).__name__}: {text} (partita --debug … shows where)"


if __name__ == "__main__":
    main()
