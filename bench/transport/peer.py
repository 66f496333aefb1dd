"""The receiving end, a process of its own: ``python -m bench.transport.peer raw|tensors HOST CORE``."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.runtime import direct_polling  # noqa: F401 - before gRPC is loaded

# isort: split
from bench.transport.raw_socket import serve
from services.runtime.server import Binding, serving

LIMIT_BYTES = 2**28


@asynccontextmanager
async def _taking(binding: Binding) -> AsyncIterator[None]:
    """Take the bench's tensors as any other, and drop them."""
    binding.receiver(LIMIT_BYTES).drop_all()
    yield


async def _serve_tensors(host: str) -> None:
    async with serving(f"{host}:0", [_taking]) as address:
        print(address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    kind, own_host, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    if kind == "raw":
        serve(own_host)
    else:
        asyncio.run(_serve_tensors(own_host))
