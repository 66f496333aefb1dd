"""Several pieces of work side by side that fail as one."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from core.errors import PartitaError, RequestCancelledError


async def run_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` side by side; the first error cancels the rest and is raised as itself."""
    pieces = list(work)
    if len(pieces) == 1:
        # A task of its own costs more than sending a tensor's first bytes.
        await pieces[0]
        return
    try:
        async with asyncio.TaskGroup() as group:
            for item in pieces:
                group.create_task(item)
    except BaseExceptionGroup as failed:
        raise root_cause(failed) from failed


def root_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to tell: what went wrong first, not what was cancelled because of it."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            leaves.append(error)
    return min(leaves, key=lambda leaf: (not isinstance(leaf, PartitaError), isinstance(leaf, RequestCancelledError)))
