"""``make demo``: a trained model profiled, planned, cut and run on three servers, each a process of its own."""

import asyncio
import sys

from partita.cli.main import plain_interrupts


def main() -> int:
    """Run the demo; Ctrl-C ends it, and everything it started, at any time."""
    try:
        with plain_interrupts():
            from examples.demo_run import run
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except Exception as error:
        from core.errors import PartitaError

        if not isinstance(error, PartitaError):
            raise
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
