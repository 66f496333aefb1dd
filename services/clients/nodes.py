"""Reaches the per-server services by address."""

from services.clients.exec_profiler import ExecProfilerClient
from services.clients.front_end import FrontEndClient
from services.clients.inferencer import InferencerClient
from services.clients.server_monitor import ServerMonitorClient
from services.runtime.channels import Channels


class NodeClients:
    """Clients of every server's services; ``server`` names them in errors."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    def exec_profiler(self, server: str, address: str) -> ExecProfilerClient:
        """The server's ExecProfiler."""
        return ExecProfilerClient(self._channels.to(address), server)

    def server_monitor(self, server: str, address: str) -> ServerMonitorClient:
        """The server's ServerMonitor."""
        return ServerMonitorClient(self._channels.to(address), server)

    def inferencer(self, server: str, address: str) -> InferencerClient:
        """The server's Inferencer."""
        return InferencerClient(self._channels.to(address), server)

    def front_end(self, server: str, address: str) -> FrontEndClient:
        """The server's FrontEnd."""
        return FrontEndClient(self._channels.to(address), server)
