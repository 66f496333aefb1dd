"""Messages on a TCP socket of their own, without a task or a copy on the way: each a small header and data.

The event loop's callbacks read straight into the memory that a message's data are for, and writing begins at once.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable

from google.protobuf.message import DecodeError

from core.buffers import Bytes

logger = logging.getLogger(__name__)

_LENGTHS = struct.Struct("<II")
"""Before each message: the bytes of its header and of its data."""

HEADER_LIMIT_BYTES = 2**20
"""Longest header; the usual ones have some hundred bytes."""

DATA_LIMIT_BYTES = 2**22
"""Most data of one message."""

INBOX_BYTES = 2**12
"""What is read where a header is due. Of data that come with it so much is copied; the rest goes where it belongs."""

TURN_BYTES = 2**20
"""After about so many bytes others have their turn in the event loop."""

SILENT_SECONDS, PING_SECONDS = 10, 5
"""A peer that is gone without a word is noticed after about the sum of them, as on gRPC's connections."""

_SCRAP = memoryview(bytearray(2**16))
"""Where data go that nobody wants."""

NO_DATA = memoryview(b"")


class MessageSocket:
    """Reads and writes messages until it is closed, by either end.

    Args:
        connection: a connected TCP socket.
        begin: told the header of a message that comes, and how many bytes of data follow; returns where they go, or
            nothing where they are to be dropped. An error, as of bytes that are no header, ends the connection.
        finish: told when the data are there; not where they were dropped.

    Attributes:
        closed: done when the connection has ended; its result is why, nothing where that was in order.
    """

    def __init__(
        self,
        connection: socket.socket,
        begin: Callable[[bytes, int], Bytes | None],
        finish: Callable[[], None],
    ) -> None:
        tune(connection)
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._begin = begin
        self._finish = finish
        self._inbox = memoryview(bytearray(INBOX_BYTES))
        self._filled = 0
        self._place: memoryview | None = None
        self._due = 0
        self._unsent: deque[memoryview] = deque()
        self._all_sent: asyncio.Future[None] | None = None
        self.closed: asyncio.Future[OSError | None] = self._loop.create_future()
        self.resume()

    def resume(self) -> None:
        """Read on."""
        if not self.closed.done():
            self._loop.add_reader(self._connection, self._readable)

    def pause(self) -> None:
        """Leave what comes in the kernel, which then slows the peer."""
        if not self.closed.done():
            self._loop.remove_reader(self._connection)

    def write(self, header: bytes, data: memoryview = NO_DATA) -> "asyncio.Future[None] | None":
        """Send a message: at once, or, where the kernel takes no more, when what is returned has been waited for.

        Until then ``data`` are not to be changed. On a connection that has ended nothing is sent.
        """
        if self.closed.done():
            return None
        start = _LENGTHS.pack(len(header), data.nbytes) + header
        sent = 0 if self._unsent else self._send(start, data)
        if sent == len(start) + data.nbytes or self.closed.done():
            return None
        if self._all_sent is None:
            self._all_sent = self._loop.create_future()
            self._loop.add_writer(self._connection, self._writable)
        if sent < len(start):
            self._unsent.append(memoryview(start)[sent:])
        if data.nbytes:
            self._unsent.append(data[max(0, sent - len(start)) :])
        return self._all_sent

    async def wait_until_sent(self) -> None:
        """Wait until all that was written is in the kernel's hands."""
        if self._all_sent is not None:
            await asyncio.wait((self._all_sent,))

    def close(self, error: OSError | None = None) -> None:
        """End the connection; what the kernel has been given is still sent.

        Args:
            error: why.
        """
        if self.closed.done():
            return
        self._loop.remove_reader(self._connection)
        self._loop.remove_writer(self._connection)
        self._connection.close()
        self._unsent.clear()
        self._place = None
        self._none_unsent()
        self.closed.set_result(error)

    def _send(self, *parts: "bytes | memoryview") -> int:
        try:
            return self._connection.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self.close(error)
            return 0

    def _writable(self) -> None:
        while self._unsent:
            part = self._unsent[0]
            sent = self._send(part)
            if self.closed.done():
                return
            if sent < part.nbytes:
                self._unsent[0] = part[sent:]
                return
            self._unsent.popleft()
        self._loop.remove_writer(self._connection)
        self._none_unsent()

    def _none_unsent(self) -> None:
        sent, self._all_sent = self._all_sent, None
        # Whoever waited for it may have been cancelled, and it too.
        if sent is not None and not sent.done():
            sent.set_result(None)

    def _readable(self) -> None:
        try:
            self._read()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.close(error)
        except (ValueError, DecodeError) as error:
            logger.warning("ended a connection for tensors on which something else came: %s", error)
            self.close(ConnectionAbortedError(f"something else than tensors came: {error}"))
        except Exception:
            logger.exception("taking a message failed")
            self.close(ConnectionAbortedError("taking a message failed; see the log"))

    def _read(self) -> None:
        read = 0
        while read < TURN_BYTES and not self.closed.done():
            if self._due:
                room = _SCRAP[: self._due] if self._place is None else self._place
            else:
                room = self._inbox[self._filled :]
            count = self._connection.recv_into(room)
            read += count
            if not count:
                self.close()
            elif self._due:
                self._take(count)
            else:
                self._filled += count
                self._parse()
            if count < room.nbytes:
                # There is no more for now; asking would tell the same.
                return

    def _take(self, count: int) -> None:
        """Note that ``count`` bytes of the data are there."""
        self._due -= count
        if self._place is not None:
            self._place = self._place[count:]
            if not self._due:
                self._place = None
                self._finish()

    def _parse(self) -> None:
        """Take the messages, or the beginning of one, that are in the inbox."""
        start, filled = 0, self._filled
        while filled - start >= _LENGTHS.size and not self.closed.done():
            header_bytes, data_bytes = _LENGTHS.unpack_from(self._inbox, start)
            if header_bytes > HEADER_LIMIT_BYTES or data_bytes > DATA_LIMIT_BYTES:
                raise ValueError(f"a message of {header_bytes} and {data_bytes} bytes, as no sender of Partita's makes")
            body = start + _LENGTHS.size
            end = body + header_bytes
            if end > filled:
                self._make_room(start, end - start)
                return
            place = self._begin(bytes(self._inbox[body:end]), data_bytes)
            start = min(filled, end + data_bytes)
            here = start - end
            self._due = data_bytes - here
            if place is not None:
                view = place.data
                view[:here] = self._inbox[end:start]
                if self._due:
                    self._place = view[here:]
                else:
                    self._finish()
        self._make_room(start, INBOX_BYTES)

    def _make_room(self, start: int, byte_count: int) -> None:
        """Drop what is before ``start``, and have room for a header of ``byte_count`` bytes with its lengths."""
        rest = self._inbox[start : self._filled]
        self._filled -= start
        size = max(INBOX_BYTES, byte_count)
        if size != self._inbox.nbytes:
            self._inbox = memoryview(bytearray(size))
            self._inbox[: self._filled] = rest
        elif start and self._filled:
            self._inbox[: self._filled] = bytes(rest)


def tune(connection: socket.socket) -> None:
    """Have a TCP socket send at once, never block, and notice a peer that is gone without a word."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PING_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * (SILENT_SECONDS + PING_SECONDS))
