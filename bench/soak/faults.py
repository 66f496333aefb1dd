"""What happens to the cluster: processes die and come back, stop for a while, and lose their connections."""

import asyncio
import random
import re
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack

from bench.soak.proxy import Proxy
from partita.cluster import EmbeddedCluster

_TENSOR_PORT = re.compile(r"taking tensors at port (\d+)")
"""As a server's log tells it."""

CUT_BYTES = 2_000_000
"""A link is cut after at most so many bytes; a tensor has an eighth of it."""


class Faults:
    """One fault after the other, at random.

    Args:
        cluster: whose processes suffer.
        proxies: server → the proxy in front of it.
        tensor_proxies: server → the one in front of its port for tensors, where it has one of its own.
        stack: closes proxies that are opened on the way.
        seed: of the choice.

    Attributes:
        counts: kind of fault → how often it happened.
    """

    def __init__(
        self,
        cluster: EmbeddedCluster,
        proxies: Mapping[str, Proxy],
        tensor_proxies: Mapping[str, Proxy],
        stack: AsyncExitStack,
        seed: int,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._cluster = cluster
        self._proxies = dict(proxies)
        self._tensor_proxies = tensor_proxies
        self._stack = stack
        self._random = random.Random(seed)  # noqa: S311 - nothing secret

    async def rest(self, longest_seconds: float) -> None:
        """Wait a while."""
        await asyncio.sleep(self._random.uniform(0, longest_seconds))

    async def next(self, longest_pause_seconds: float, kills: bool) -> None:
        """Have one fault happen; when this returns it is over, and all processes run.

        Args:
            longest_pause_seconds: how long a process is stopped or stays dead at most.
            kills: whether processes may be killed.
        """
        kinds = [self._break, self._cut, self._pause, *([self._kill] * 3 if kills else [])]
        await self._random.choice(kinds)(self._random.uniform(0, longest_pause_seconds))

    async def _kill(self, seconds: float) -> None:
        """One process, or two at once; each comes back at its address or at another."""
        names = self._random.sample(sorted(self._cluster.processes), self._random.choice((1, 1, 2)))
        moving = {name for name in names if self._random.random() < 0.5}
        for name in names:
            self._cluster.processes[name].kill()
            self.counts["kill"] += 1
        for name in names:
            await self._cluster.processes[name].wait()
        await asyncio.sleep(seconds)
        await asyncio.gather(*(self._restart(name, name in moving) for name in names))

    async def _restart(self, name: str, moves: bool) -> None:
        if name not in self._proxies:
            await self._cluster.restart(name)
            return
        if moves:
            await self._proxies[name].close()
            self._proxies[name] = await Proxy().open()
            self._stack.push_async_callback(self._proxies[name].close)
        proxy = self._proxies[name]
        await self._cluster.restart(name, "--listen=127.0.0.1:0", f"--advertise={proxy.address}")
        point_to(self._cluster, name, proxy, self._tensor_proxies.get(name))

    async def _pause(self, seconds: float) -> None:
        process = self._cluster.processes[self._random.choice(sorted(self._cluster.processes))]
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)
        self.counts["pause"] += 1

    def _any_proxy(self) -> Proxy:
        return self._random.choice([*self._proxies.values(), *self._tensor_proxies.values()])

    async def _break(self, _seconds: float) -> None:
        self._any_proxy().break_all()
        self.counts["break"] += 1

    async def _cut(self, _seconds: float) -> None:
        self._any_proxy().cut_after(self._random.randrange(1, CUT_BYTES))
        self.counts["cut"] += 1


def point_to(cluster: EmbeddedCluster, name: str, proxy: Proxy, tensors: Proxy | None) -> None:
    """Have proxies lead to a server that has just started, its port for tensors first: calls then find it there."""
    if tensors is not None:
        ports = _TENSOR_PORT.findall((cluster.directory / f"{name}.log").read_text(errors="replace"))
        tensors.target = f"127.0.0.1:{ports[-1]}"
    proxy.target = cluster.addresses[name]
