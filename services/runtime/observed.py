"""A server's components in a request, told to metrics and traces as soon as the outputs of each have arrived."""

import time
from collections.abc import Callable, Mapping

from core.deployment import ComponentRun, RequestKey
from services.runtime.metrics import observe_run
from services.runtime.tracing import record_run


def observer(key: RequestKey, carried: Mapping[str, str]) -> Callable[[ComponentRun], None]:
    """Who is to be told of each of a request's components, when its outputs have arrived.

    Args:
        carried: of the request's span.
    """

    def ran(run: ComponentRun) -> None:
        observe_run(key.deployment, run)
        record_run(carried, key, run, time.time_ns())

    return ran
