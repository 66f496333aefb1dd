"""``python -m services NAME…`` runs one or more services in this process until SIGTERM or Ctrl-C."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from core.errors import PartitaError
from services.runtime import direct_polling  # noqa: F401 - before gRPC is loaded
from services.runtime.event_loop import exact_event_loop
from services.runtime.logs import configure_logs
from services.runtime.metrics import serve_metrics
from services.runtime.server import Service, serving
from services.runtime.settings import Settings, read_settings
from services.runtime.tracing import configure_tracing

# ONNX Runtime reports its use to its maker unless told not to before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

logger = logging.getLogger("services")

LAST_STEPS_SECONDS = 1.0
"""How long what is left at the end may take before it is cut off."""


def service(name: str, settings: Settings) -> Service:
    """The service with this name; only its own module is imported, as another role's needs may not be installed."""
    make: Callable[[Settings], Service] = getattr(import_module(f"services.{name}"), f"{name}_service")
    return make(settings)


async def run(settings: Settings) -> None:
    """Serve until a signal asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.stop_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_input, stop)
    if settings.metrics_listen:
        logger.info("metrics at http://%s/metrics", serve_metrics(settings.metrics_listen))
    async with serving(
        settings.listen_address,
        [service(name, settings) for name in settings.services],
        settings.tensor_port,
        settings.tensor_advertise_port,
    ) as address:
        logger.info("serving %s on %s", ", ".join(settings.services), address)
        # The one line on standard output tells whoever started this process where it listens.
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        await stop.wait()
        logger.info("stopping")
    # gRPC may not be quite done with calls that have just ended: cut off, it would print a traceback.
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=LAST_STEPS_SECONDS)


def _stop_at_end_of_input(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read settings, run, and return the exit code."""
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
        configure_logs(settings.log_level, settings.log_format, settings.server, settings.services)
        configure_tracing(settings.server, settings.services)
        with asyncio.Runner(loop_factory=exact_event_loop) as runner:
            runner.run(run(settings))
    except PartitaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
