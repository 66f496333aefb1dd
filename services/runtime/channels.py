"""One gRPC channel per peer, kept."""

from types import TracebackType
from typing import Self

import grpc

MESSAGE_LIMIT_BYTES = 64 * 2**20
"""Largest single message; models and tensors travel in chunks far below it, documents as one."""

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    # A peer that died without closing its connection is noticed within 15 seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted peer is found again within a second instead of after gRPC's growing back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

WINDOW_OPTIONS: tuple[tuple[str, int], ...] = (
    # A chunk goes as one frame instead of one for every 16 KiB.
    ("grpc.http2.max_frame_size", 2**20),
    # So much is on the way from the start on; else gRPC finds out by probing, anew on every connection.
    ("grpc.http2.lookahead_bytes", 2**24),
    ("grpc.http2.bdp_probe", 0),
)
"""Of the side that receives tensors."""

TRANSPORT_OPTIONS: tuple[tuple[str, int], ...] = (
    *CHANNEL_OPTIONS,
    # A connection of their own: calls do not wait behind tensors.
    ("grpc.use_local_subchannel_pool", 1),
)


class Channels:
    """Opens a channel to an address on first use and closes all at the end."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    def to(self, address: str) -> grpc.aio.Channel:
        """The channel to ``address`` (``host:port``)."""
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        return self._channels[address]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels.values():
            await channel.close()
