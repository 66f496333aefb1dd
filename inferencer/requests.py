"""The requests under way on one server, and the tensors that have arrived for them."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from typing import Any

from core.deployment import RequestKey
from core.errors import RequestCancelledError
from core.tensors import Array

REMEMBERED = 1024
"""How many ended requests are remembered, so that a late tensor is refused at once instead of waiting."""


BEGIN_SECONDS = 10.0
"""How long a tensor that came first waits for its request, which the FrontEnd begins on all servers at once."""


class Request:
    """One request's tensors on this server: each is kept until its last consumer has taken it."""

    def __init__(self, consumers: Mapping[str, int]) -> None:
        """Expect the tensors named in ``consumers``, each to be taken that many times."""
        self._remaining = dict(consumers)
        self._tensors: dict[str, asyncio.Future[Array]] = {}
        loop = asyncio.get_running_loop()
        for name in consumers:
            self._tensors[name] = loop.create_future()

    def put(self, name: str, array: Array) -> None:
        """Take a tensor in; one that came before, or was taken already, is ignored."""
        future = self._tensors.get(name)
        if future is not None and not future.done():
            future.set_result(array)

    async def wait(self, name: str) -> Array:
        """Wait for a tensor."""
        return await asyncio.shield(self._tensors[name])

    def taken(self, name: str) -> None:
        """Note that one consumer is done with a tensor; the last one frees it."""
        self._remaining[name] -= 1
        if not self._remaining[name]:
            del self._tensors[name]

    def drop(self) -> None:
        """Let go of all tensors; what is left of the request may be referred to for longer."""
        self._tensors.clear()

    @property
    def held_bytes(self) -> int:
        """Bytes of the tensors held now."""
        return sum(future.result().nbytes for future in tuple(self._tensors.values()) if future.done())


class RequestTable:
    """Open requests by key. A tensor may arrive before its request is opened, or after it has ended."""

    def __init__(self) -> None:
        self._open: dict[RequestKey, Request] = {}
        self._ended: OrderedDict[RequestKey, None] = OrderedDict()
        self._changed = asyncio.Event()
        self._early_bytes = 0

    def open(self, key: RequestKey, consumers: Mapping[str, int]) -> Request:
        """Begin a request.

        Raises:
            RequestCancelledError: this request was begun before.
        """
        if key in self._open or key in self._ended:
            raise RequestCancelledError(f"request {key.request_id} was begun before; use a new request id")
        request = self._open[key] = Request(consumers)
        self._wake()
        return request

    def put(self, key: RequestKey, name: str, array: Array) -> Coroutine[Any, Any, None] | None:
        """Take a tensor in for a request: at once, or, where that is not open yet, when what is returned is done.

        Raises:
            RequestCancelledError: as ``find`` does.
        """
        if key not in self._open and key not in self._ended:
            return self._put_later(key, name, array)
        self._found(key).put(name, array)
        return None

    async def _put_later(self, key: RequestKey, name: str, array: Array) -> None:
        self._early_bytes += array.nbytes
        try:
            request = await self.find(key)
        finally:
            self._early_bytes -= array.nbytes
        request.put(name, array)

    async def find(self, key: RequestKey) -> Request:
        """The open request with this key; waits until it is opened, for ``BEGIN_SECONDS`` at most.

        Raises:
            RequestCancelledError: the request has ended, or did not begin.
        """
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                while key not in self._open and key not in self._ended:
                    await self._changed.wait()
        except TimeoutError:
            raise RequestCancelledError(
                f"request {key.request_id} did not begin within {BEGIN_SECONDS:.0f} s; its FrontEnd may be gone"
            ) from None
        return self._found(key)

    def _found(self, key: RequestKey) -> Request:
        if key in self._ended:
            raise RequestCancelledError(f"request {key.request_id} has ended")
        return self._open[key]

    def close(self, key: RequestKey) -> None:
        """End a request and let go of everything it held."""
        request = self._open.pop(key, None)
        if request is not None:
            request.drop()
        self._ended[key] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        self._wake()

    def _wake(self) -> None:
        # Never waits: a call that is cancelled here would leave its request behind.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def __len__(self) -> int:
        """How many requests are open."""
        return len(self._open)

    @property
    def held_bytes(self) -> int:
        """Bytes of all tensors held now, those of requests that have not begun included. Any thread may ask."""
        return self._early_bytes + sum(request.held_bytes for request in tuple(self._open.values()))
