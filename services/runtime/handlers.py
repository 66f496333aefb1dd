"""gRPC method handlers of all four kinds, wrapped by interceptors."""

from collections.abc import Callable
from typing import Any

import grpc

Handler = Any
Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Any]

_KINDS: dict[tuple[bool, bool], tuple[str, Any]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def wrapped(
    handler: Handler, method: str, unary: Callable[[Behaviour], Behaviour], stream: Callable[[Behaviour], Behaviour]
) -> Handler:
    """The handler with its behaviour passed through ``unary`` or, where it answers with a stream, ``stream``.

    It may answer with bytes, which are sent as they are.

    Services that gRPC brings along (health, reflection) stay as they are: they write their streams themselves.
    """
    if handler is None or method.startswith("/grpc."):
        return handler
    name, kind = _KINDS[handler.request_streaming, handler.response_streaming]
    wrap = stream if handler.response_streaming else unary

    def serialize(response: Any) -> bytes:
        return response if isinstance(response, bytes) else handler.response_serializer(response)

    return kind(wrap(getattr(handler, name)), handler.request_deserializer, serialize)
