"""Our exceptions to gRPC status codes on the way out, and back to the same exceptions at the client."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any, NoReturn

import grpc

from core.errors import (
    ERROR_TYPES,
    BusyError,
    CorruptDataError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PartitaError,
    RequestCancelledError,
    ServerUnavailableError,
    TooLargeError,
)
from services.runtime.handlers import Behaviour, Context, Handler, wrapped

logger = logging.getLogger(__name__)

ERROR_KEY = "partita-error"
"""Trailing metadata that carries the name of the exception's class."""

RETRY_KEY = "partita-retry-after-seconds"
"""Trailing metadata of a BusyError that knows when to try again."""

DRAIN_SECONDS = 3.0
"""How long the rest of a refused stream is read before its error is sent."""

CLOCK_SECONDS = 0.01
"""By how much gRPC's clock may be ahead of ours."""

_BROKEN_WRITE = "Internal error from Core"
"""All that gRPC's asyncio client says when a connection breaks under its hands (grpc/_cython, aio/call.pyx.pxi)."""

_CODES: tuple[tuple[type[PartitaError], grpc.StatusCode], ...] = (
    (InvalidArgumentError, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (FailedPreconditionError, grpc.StatusCode.FAILED_PRECONDITION),
    (TooLargeError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (BusyError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (CorruptDataError, grpc.StatusCode.DATA_LOSS),
    (ServerUnavailableError, grpc.StatusCode.UNAVAILABLE),
    (DeadlineExceededError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (RequestCancelledError, grpc.StatusCode.CANCELLED),
    (InternalError, grpc.StatusCode.INTERNAL),
)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call whose handler raised with the status, message and type of its exception."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler that would serve the call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method

        def unary(behaviour: Behaviour) -> Behaviour:
            async def call(request: Any, context: Context) -> Any:
                try:
                    return await behaviour(request, context)
                except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped
                    await _drain(request)
                    await _abort(error, context, method)

            return call

        def stream(behaviour: Behaviour) -> Behaviour:
            # Written rather than yielded: cancellation then unwinds the handler here and now, not when it is collected.
            async def call(request: Any, context: Context) -> None:
                try:
                    async with aclosing(behaviour(request, context)) as responses:
                        async for response in responses:
                            await context.write(response)
                except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped
                    await _drain(request)
                    await _abort(error, context, method)

            return call

        return wrapped(handler, method, unary, stream)


async def _drain(request: Any) -> None:
    """Read what the caller is still sending, for a while.

    A gRPC client in Python that is writing when the call ends may see an internal error instead of ours
    (https://github.com/grpc/grpc/issues/36066).
    """
    if hasattr(request, "__aiter__"):
        with suppress(Exception):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in request:
                    pass


async def _abort(error: Exception, context: Context, method: str) -> NoReturn:
    if isinstance(error, (grpc.aio.AbortError, asyncio.CancelledError)):
        raise error
    if not isinstance(error, PartitaError):
        logger.error("unexpected error in %s", method, exc_info=error)
        error = InternalError(f"{method} failed unexpectedly ({type(error).__name__}: {error}); see the server's log")
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    logger.info("%s ended with %s: %s", method, type(error).__name__, error)
    metadata = [(ERROR_KEY, type(error).__name__)]
    if isinstance(error, BusyError) and error.retry_after_seconds is not None:
        metadata.append((RETRY_KEY, f"{error.retry_after_seconds:.3f}"))
    await context.abort(code, str(error), trailing_metadata=tuple(metadata))


@contextmanager
def typed_errors(peer: str, deadline: float = math.inf) -> Iterator[None]:
    """Raise the error of a gRPC call inside as the exception that the peer raised.

    Args:
        peer: who is called, in words, for errors that come from the connection itself.
        deadline: of the call, by ``time.monotonic``: an internal error of gRPC's own after it is the deadline's doing,
            as when time is up in the middle of a message.

    Raises:
        PartitaError: of the peer's type; ServerUnavailableError where the peer cannot be reached.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        late = time.monotonic() > deadline - CLOCK_SECONDS
        raise _from_rpc_error(error, peer, late) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Not we were cancelled but the call: by gRPC, whose writer gives up so on a call that ended under its hands.
        if time.monotonic() > deadline - CLOCK_SECONDS:
            raise DeadlineExceededError(_late(peer)) from error
        raise RequestCancelledError(_cancelled(peer)) from error


def _from_rpc_error(error: grpc.aio.AioRpcError, peer: str, late: bool) -> PartitaError:
    message = error.details() or ""
    metadata = {key: str(value) for key, value in error.trailing_metadata() or ()}
    kind = ERROR_TYPES.get(metadata.get(ERROR_KEY, ""))
    if kind is BusyError:
        return BusyError(message, float(metadata[RETRY_KEY]) if RETRY_KEY in metadata else None)
    if kind is not None:
        return kind(message)
    code = error.code()
    if code == grpc.StatusCode.UNAVAILABLE:
        return ServerUnavailableError(f"{peer} cannot be reached ({_cause(message)}); check that it runs")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED or (late and code == grpc.StatusCode.INTERNAL):
        return DeadlineExceededError(_late(peer))
    if code == grpc.StatusCode.CANCELLED:
        return RequestCancelledError(_cancelled(peer))
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return TooLargeError(f"{peer} refused a message: {message}")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return FailedPreconditionError(f"{peer} does not offer this service ({message}); check the address")
    if code == grpc.StatusCode.INTERNAL and message == _BROKEN_WRITE:
        return ServerUnavailableError(f"the connection to {peer} broke; check that it runs, and send again")
    return InternalError(f"{peer} failed with {code.name}: {message}")


def _cause(details: str) -> str:
    """Why a connection failed: what stands last in gRPC's chain of ``what: why``."""
    return details.rstrip("]").rpartition(": ")[2]


def _late(peer: str) -> str:
    return f"{peer} did not answer in time; give the call more time or check its load"


def _cancelled(peer: str) -> str:
    return f"the call to {peer} was cancelled"
