"""The asyncio client. It belongs to the event loop it is first used on."""

from partita.aio.client import Client, connect
from partita.aio.deployment import INFER_SECONDS, Deployment

__all__ = ["INFER_SECONDS", "Client", "Deployment", "connect"]
