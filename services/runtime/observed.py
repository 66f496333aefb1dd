"""A server's part in a request, told to metrics and traces."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from core.deployment import ComponentRun, RequestKey
from services.runtime.metrics import observe_run
from services.runtime.tracing import record_run


async def observed(
    runs: AsyncGenerator[ComponentRun], key: RequestKey, carried: Mapping[str, str]
) -> AsyncGenerator[ComponentRun]:
    """Pass on runs as they come.

    Args:
        carried: of the request's span.
    """
    async with aclosing(runs):
        async for run in runs:
            observe_run(key.deployment, run)
            record_run(carried, key, run)
            yield run
