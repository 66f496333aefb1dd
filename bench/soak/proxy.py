"""A TCP proxy in front of a server, whose connections can be broken, between messages or inside one."""

import asyncio
from contextlib import suppress

PIECE_BYTES = 2**16


class Proxy:
    """Listens on loopback and passes everything on to ``target``.

    Attributes:
        target: ``host:port``; connections that come while nobody is there are reset.
        address: where it listens.
        passed_bytes: both ways, so far.
    """

    def __init__(self) -> None:
        self.target = ""
        self.address = ""
        self.passed_bytes = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._budget: int | None = None

    async def open(self) -> "Proxy":
        """Begin to listen."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self.address.rpartition(":")[2])

    async def close(self) -> None:
        """Stop listening and break all connections."""
        if self._server is not None:
            self._server.close()
        self.break_all()

    def break_all(self) -> None:
        """Reset every connection, with whatever is on its way."""
        self._budget = None
        for writer in self._connections:
            writer.transport.abort()

    def cut_after(self, byte_count: int) -> None:
        """Break all connections when so many bytes more have passed, wherever in a message that is."""
        self._budget = byte_count

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except (OSError, ValueError):
            writer.transport.abort()
            return
        both = {writer, back}
        self._connections |= both
        pumps = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
        try:
            await asyncio.wait(pumps)
        finally:
            self._connections -= both
            for pump in pumps:
                pump.cancel()
            for one in both:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                self.passed_bytes += len(piece)
                if self._budget is not None and len(piece) >= self._budget:
                    writer.write(piece[: self._budget])
                    await writer.drain()
                    self.break_all()
                    return
                if self._budget is not None:
                    self._budget -= len(piece)
                writer.write(piece)
                await writer.drain()
            writer.write_eof()
