"""Client calls that end when their reader does."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C", bound="ResponseStream[object]")


class ResponseStream(Protocol[R_co]):
    """A call with a stream of responses."""

    def __aiter__(self) -> AsyncIterator[R_co]:
        """Read the responses."""

    def cancel(self) -> bool:
        """End the call; nothing happens where it has ended."""


@contextmanager
def reading(call: C) -> Iterator[C]:
    """End ``call`` at the end of the context, whatever happens inside.

    gRPC leaves a call open, and the server at work, when its reader is cancelled just after the request was sent.
    """
    try:
        yield call
    finally:
        call.cancel()
