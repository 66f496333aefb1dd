"""The soak: a cluster as a user starts it, requests in flight, and faults."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.soak.faults import Faults, point_to
from bench.soak.held import held
from bench.soak.memory import Memory
from bench.soak.model import PLACES, items, model
from bench.soak.proxy import Proxy
from bench.soak.requests import Endings, call_on
from core.progress import Progress, no_progress
from partita import aio
from partita.cluster import EmbeddedServer, embedded_cluster

NAME = "soak"

BY_SOCKET = ("device", "edge")
"""Servers whose tensors come over sockets, through proxies of their own; the third's stay on gRPC, as behind a NAT."""

SETTLE_SHARE = 0.4
"""Share of the time without kills before memory counts: allocators and tables of bounded size fill first."""


@dataclass(frozen=True)
class Soak:
    """What is done to the cluster.

    Attributes:
        seconds: how long faults happen.
        seed: of the faults.
        callers: requests in flight.
        deadline_seconds: of a request.
        grace_seconds: after that, when a request counts as unanswered.
        longest_gap_seconds: between two faults.
        longest_pause_seconds: how long a process is stopped or stays dead; longer than its lease.
        recovery_seconds: how long all callers may wait for an answer after the last fault.
        freeing_seconds: how long servers may hold anything after the last request has ended.
        kill_share: share of the time, its beginning, in which processes are killed; in the rest, where they only
            stop and lose connections, their memory is watched.
    """

    seconds: float
    seed: int = 0
    callers: int = 20
    deadline_seconds: float = 10.0
    grace_seconds: float = 5.0
    longest_gap_seconds: float = 4.0
    longest_pause_seconds: float = 9.0
    recovery_seconds: float = 120.0
    freeing_seconds: float = 15.0
    kill_share: float = 1 / 3


@dataclass(frozen=True)
class SoakResult:
    """What was found.

    Attributes:
        faults: kind → how many happened.
        endings: of all requests.
        recovery_seconds: from the last fault until every caller had an answer; ``None`` if that did not come.
        memory_growth: of each process, in bytes per hour, while none was killed; empty after short runs.
        held: measure → requests or bytes that a server held still when all had ended.
        socket_bytes: what passed over sockets for tensors.
    """

    faults: Counter[str]
    endings: Endings
    recovery_seconds: float | None
    memory_growth: Mapping[str, float]
    held: Mapping[str, float]
    socket_bytes: int = 0

    def summary(self) -> dict[str, Any]:
        """The figures."""
        return {
            "requests": self.endings.requests,
            "answers": self.endings.answers,
            "typed_errors": self.endings.typed_errors.total(),
            "unanswered": self.endings.unanswered,
            "wrong": self.endings.wrong,
            "kills": self.faults["kill"],
            "memory_growth_bytes_per_hour": sum(self.memory_growth.values()) if self.memory_growth else None,
            "memory_growth_by_process": dict(self.memory_growth),
            "errors": dict(self.endings.typed_errors),
            "error_examples": self.endings.examples,
            "untyped_errors": dict(self.endings.untyped_errors),
            "held_at_end": dict(self.held),
            "socket_bytes": self.socket_bytes,
            "pauses": self.faults["pause"],
            "broken_connections": self.faults["break"],
            "cut_links": self.faults["cut"],
            "recovery_seconds": self.recovery_seconds,
            "slowest_seconds": self.endings.slowest_seconds,
            "longest_gap_seconds": self.endings.longest_gap_seconds,
        }

    def complaints(self) -> list[str]:
        """What should not have happened."""
        endings = self.endings
        found = [f"{endings.unanswered} requests did not end"] if endings.unanswered else []
        found += [f"{endings.wrong} answers were wrong"] if endings.wrong else []
        found += [f"an error without a type: {error}" for error in endings.untyped_errors]
        found += ["requests did not succeed again after the last fault"] if self.recovery_seconds is None else []
        return [*found, *(f"all requests have ended, but {name} is {count:g}" for name, count in self.held.items())]


async def run(soak: Soak, directory: Path | None = None, progress: Progress = no_progress) -> SoakResult:
    """Start a cluster, deploy a model over its three servers, and keep requests in flight while faults happen.

    Args:
        directory: where state and logs go; ``None`` takes a temporary one.
    """
    data = model()
    async with AsyncExitStack() as stack:
        proxies = {name: await Proxy().open() for name in ("device", "edge", "cloud")}
        tensor_proxies = {name: await Proxy().open() for name in BY_SOCKET}
        for proxy in (*proxies.values(), *tensor_proxies.values()):
            stack.push_async_callback(proxy.close)
        servers = [
            EmbeddedServer(
                name,
                name,
                compute_watts=3.0,
                advertise=proxy.address,
                metrics_listen="127.0.0.1:0",
                tensor_advertise_port=tensor_proxies[name].port if name in tensor_proxies else 0,
            )
            for name, proxy in proxies.items()
        ]
        progress(0.0, "starting three servers")
        cluster = await stack.enter_async_context(embedded_cluster(servers, directory))
        for name, proxy in proxies.items():
            point_to(cluster, name, proxy, tensor_proxies.get(name))
        client = await stack.enter_async_context(aio.connect(cluster.address))
        progress(0.0, "deploying")
        await client.load(data, NAME)
        plan = await client.plan(NAME, layer_rules=PLACES, quantizable_count=0)
        deployment = await client.deploy(plan)
        endings = Endings()
        examples = items(data, 8)
        callers = [
            asyncio.create_task(
                call_on(deployment.infer, examples, caller, endings, soak.deadline_seconds, soak.grace_seconds)
            )
            for caller in range(soak.callers)
        ]
        stack.push_async_callback(_cancel, callers)
        faults = Faults(cluster, proxies, tensor_proxies, stack, soak.seed)
        memory = Memory(cluster)
        await _storm(soak, faults, memory, endings, progress)
        progress(1.0, "waiting for answers to everybody")
        recovery_seconds = await _recovery(soak, endings)
        await _cancel(callers)
        left = await held(cluster.directory, list(proxies), soak.freeing_seconds)
        socket_bytes = sum(proxy.passed_bytes for proxy in tensor_proxies.values())
        return SoakResult(faults.counts, endings, recovery_seconds, memory.growth(), left, socket_bytes)


async def _storm(soak: Soak, faults: Faults, memory: Memory, endings: Endings, progress: Progress) -> None:
    start = time.monotonic()
    watching: list[asyncio.Task[None]] = []
    while (elapsed := time.monotonic() - start) < soak.seconds:
        progress(elapsed / soak.seconds, f"{endings.answers} answers, {endings.failures} errors")
        kills = elapsed < soak.kill_share * soak.seconds
        if not kills and not watching:
            watching.append(asyncio.create_task(_watch(memory, soak.seconds - elapsed)))
        await faults.rest(soak.longest_gap_seconds)
        await faults.next(soak.longest_pause_seconds, kills)
    await _cancel(watching)


async def _watch(memory: Memory, seconds: float) -> None:
    await asyncio.sleep(SETTLE_SHARE * seconds)
    await memory.watch((1 - SETTLE_SHARE) * seconds)


async def _recovery(soak: Soak, endings: Endings) -> float | None:
    last_fault = time.monotonic()
    while (seconds := time.monotonic() - last_fault) < soak.recovery_seconds:
        if sum(when > last_fault for when in endings.last_answers.values()) == soak.callers:
            return seconds
        await asyncio.sleep(0.05)
    return None


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
