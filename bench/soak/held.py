"""What servers hold for requests, as they tell Prometheus."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

READ_SECONDS = 10.0

_ADDRESS = re.compile(r"metrics at (http://[^ \"]+)")
_HELD = re.compile(r"^((?:partita_requests_under_way|partita_held_bytes){[^}]*}) (\S+)$", re.MULTILINE)


async def held(directory: Path, servers: Sequence[str], patience_seconds: float) -> dict[str, float]:
    """What is held when all requests have ended, by server and measure; empty as soon as it is nothing anywhere.

    Args:
        directory: with the servers' logs, which say where each can be asked.
        servers: their names.
        patience_seconds: how long they may take to let go.
    """
    end = time.monotonic() + patience_seconds
    while True:
        found: dict[str, float] = {}
        for server in servers:
            log = await asyncio.to_thread((directory / f"{server}.log").read_text, errors="replace")
            found |= await asyncio.to_thread(_read, _ADDRESS.findall(log)[-1])
        if not found or time.monotonic() > end:
            return found
        await asyncio.sleep(0.2)


def _read(address: str) -> dict[str, float]:
    with urlopen(address, timeout=READ_SECONDS) as response:  # noqa: S310 - our own, on loopback
        text = response.read().decode()
    return {name: float(value) for name, value in _HELD.findall(text) if float(value)}
