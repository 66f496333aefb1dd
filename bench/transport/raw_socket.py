"""The yardstick: bytes over a plain TCP socket, and two bytes back."""

import socket
import struct

_SIZE = struct.Struct("<Q")
_REPLY = b"ok"


def serve(host: str) -> None:
    """Print ``host:port``, take one connection, and answer every message once all of it has come."""
    with socket.create_server((host, 0)) as listener:
        print(f"{host}:{listener.getsockname()[1]}", flush=True)
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Written once, so that no fresh pages are timed.
            buffer = memoryview(bytearray(b"\x55") * 2**25)
            while header := connection.recv(_SIZE.size, socket.MSG_WAITALL):
                (left,) = _SIZE.unpack(header)
                while left:
                    left -= connection.recv_into(buffer[:left])
                connection.sendall(_REPLY)


class RawSocket:
    """The sending end."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._connection = socket.create_connection((host, int(port)))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: memoryview) -> None:
        """Send, and wait for the reply."""
        self._connection.sendall(_SIZE.pack(data.nbytes))
        self._connection.sendall(data)
        self._connection.recv(len(_REPLY), socket.MSG_WAITALL)

    def close(self) -> None:
        """End the connection, and with it the other end."""
        self._connection.close()
