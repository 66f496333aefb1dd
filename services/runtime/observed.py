"""A server's part in a request, told to metrics and traces."""

import time
from collections.abc import Awaitable, Mapping, Sequence

from core.deployment import ComponentRun, RequestKey
from services.runtime.metrics import observe_run
from services.runtime.tracing import record_run


async def observed(
    part: Awaitable[Sequence[ComponentRun]], key: RequestKey, carried: Mapping[str, str]
) -> Sequence[ComponentRun]:
    """Wait for a part's runs.

    Args:
        carried: of the request's span.
    """
    began = time.time_ns()
    runs = await part
    for run in runs:
        observe_run(key.deployment, run)
        record_run(carried, key, run, began + round(run.end_seconds * 1e9))
    return runs
