"""Addresses of gRPC that a plain socket can reach too."""

import re

_HOST_AND_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:/\[\]]*)):(\d{1,5})")


def host_and_port(address: str) -> tuple[str, int] | None:
    """Host, without brackets, and port of ``host:port``, ``[host]:port`` or ``:port``; ``None`` for Unix sockets."""
    match = _HOST_AND_PORT.fullmatch(address)
    return (match[1] or match[2], int(match[3])) if match else None
