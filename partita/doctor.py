"""Looks for what may be wrong: here, at the Deployer and on every server; each finding says what to do."""

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Literal

from core.cluster import SERVER_SERVICES, Cluster, ServerRecord
from core.errors import PartitaError
from core.version import partita_version
from partita import aio, units
from services.clients.server_monitor import ServerMonitorClient, Sighting
from services.runtime.channels import Channels

MOST_SKEW_SECONDS = 0.1
"""Above it, times in logs and traces of different servers are misleading."""

MOST_LOAD = 0.5
"""A server busier than this with other things is profiled too slow."""

OLDEST_LINK_SECONDS = 3600.0

ROLES = {
    "a client": ("grpc", "numpy"),
    "drawing plans and fronts (--picture)": ("matplotlib", "PIL"),
    "photos and videos (partita infer)": ("PIL", "scipy", "shapely", "supervision"),
    "planning here (partita optimize)": ("highspy", "pulp"),
    "a server (partita up, serve node)": ("onnx", "onnxruntime", "psutil"),
    "loading models (serve model_pool)": ("onnx", "onnx_tool", "onnxslim", "onnxruntime"),
    "labs (partita lab)": ("yaml",),
    "traces": ("opentelemetry.sdk",),
}
"""What this installation may be used for → modules that takes."""

EXTRAS = {
    "drawing plans and fronts (--picture)": "pictures",
    "photos and videos (partita infer)": "vision",
    "planning here (partita optimize)": "planner",
    "a server (partita up, serve node)": "node",
    "loading models (serve model_pool)": "models",
    "labs (partita lab)": "lab",
    "traces": "traces",
}

START_SERVER = "partita serve node --server=NAME --role=ROLE --registry=HOST:PORT --model-pool=HOST:PORT"

"""What stands in for names and addresses is in capitals."""

Verdict = Literal["fine", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: for example ``server edge``.
        verdict: ``note``: may matter; ``wrong``: something will not work.
        text: what was found.
        advice: what to do; empty where it is fine.
    """

    subject: str
    verdict: Verdict
    text: str
    advice: str = ""


async def examine(address: str) -> AsyncIterator[Finding]:
    """Look at this installation, then at the cluster whose Deployer is at ``address``."""
    for finding in installation():
        yield finding
    async with aio.connect(address) as client:
        asked = time.perf_counter()
        try:
            cluster = await client.cluster()
        except PartitaError as error:
            advice = "start a cluster with partita up, or say where it is with --address or PARTITA_ADDRESS"
            yield Finding("deployer", "wrong", str(error), advice)
            return
        yield Finding("deployer", "fine", f"answers at {address} in {units.seconds(time.perf_counter() - asked)}")
    async with Channels() as channels:
        sightings = await asyncio.gather(*(_see(channels, server) for server in cluster.servers))
    for server, seen in zip(cluster.servers, sightings, strict=True):
        for finding in about_server(server, seen):
            yield finding
    for finding in about_cluster(cluster, time.time()):
        yield finding


async def _see(channels: Channels, server: ServerRecord) -> Sighting | PartitaError:
    address = server.services.get("server_monitor", "")
    if not address:
        return PartitaError("it has no ServerMonitor")
    try:
        return await ServerMonitorClient(channels.to(address), server.name).get_state()
    except PartitaError as error:
        return error


def installation() -> Iterator[Finding]:
    """What is installed here, and what it is good for."""
    where = f"Partita {partita_version()}, Python {platform.python_version()}, {os.cpu_count()} processors"
    yield Finding("this machine", "fine", where)
    for role, modules in ROLES.items():
        missing = [name for name in modules if not _installed(name)]
        if missing:
            advice = f"pip install 'partita[{EXTRAS.get(role, '')}]', if you want that here"
            yield Finding("this machine", "note", f"not ready for {role}: no {', '.join(missing)}", advice)
    if _installed("onnxruntime"):
        yield from _runtime()


def _installed(name: str) -> bool:
    try:
        return util.find_spec(name) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def _runtime() -> Iterator[Finding]:
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    yield Finding("this machine", "fine", f"ONNX Runtime {onnxruntime.__version__} with {providers}")
    processor = Path("/proc/cpuinfo")
    if platform.machine() == "x86_64" and processor.exists():
        text = processor.read_text(encoding="utf-8", errors="replace")
        if "avx512_vnni" not in text and "avx_vnni" not in text:
            yield Finding(
                "this machine",
                "note",
                "the processor has no VNNI instructions, so int8 layers are hardly faster than float ones here",
                "nothing: profiles measure it, and plans take int8 only where it pays",
            )


def about_server(server: ServerRecord, seen: Sighting | PartitaError) -> Iterator[Finding]:
    """What is to be said of one server."""
    subject = f"server {server.name}"
    if missing := [name for name in SERVER_SERVICES if name not in server.services]:
        verdict: Verdict = "note" if missing == ["front_end"] else "wrong"
        advice = f"start what is missing, or all with {START_SERVER}; a server without FrontEnd cannot be the device"
        yield Finding(subject, verdict, f"has no {', '.join(missing)}", advice)
    if isinstance(seen, PartitaError):
        advice = "normal where servers are in a network of their own; else check its process and --advertise"
        yield Finding(subject, "note", f"cannot be asked from here: {seen}", advice)
        return
    yield Finding(subject, "fine", f"{seen.state.description}; answers in {units.seconds(seen.seconds)}")
    if seen.version != partita_version():
        advice = "install the same version everywhere: older ones may not understand newer plans"
        yield Finding(subject, "wrong", f"has Partita {seen.version}, here is {partita_version()}", advice)
    # The answer may have come back faster than the question went, or slower: by that much the skew is uncertain.
    if abs(seen.skew_seconds) - seen.seconds / 2 > MOST_SKEW_SECONDS:
        advice = "synchronise clocks (chrony, ntpd): requests run all the same, but logs and traces do not line up"
        yield Finding(subject, "note", f"its clock is {units.seconds(abs(seen.skew_seconds))} off", advice)
    if seen.state.load > MOST_LOAD:
        advice = "profile it when it is idle, with partita profile --refresh: its times are measured too long now"
        yield Finding(subject, "note", f"its processors are {seen.state.load:.0%} busy", advice)


def about_cluster(cluster: Cluster, now: float) -> Iterator[Finding]:
    """What is to be said of all servers and links together; ``now`` in seconds since 1970."""
    if not cluster.servers:
        yield Finding("cluster", "wrong", "no server has registered", f"start one with {START_SERVER}")
        return
    if not any("front_end" in server.services for server in cluster.servers):
        yield Finding("cluster", "wrong", "no server has a FrontEnd", f"start one with {START_SERVER}")
    names = [server.name for server in cluster.servers]
    known = {(link.source, link.target): link for link in cluster.links}
    missing = [f"{one} → {other}" for one in names for other in names if one != other and (one, other) not in known]
    if missing:
        advice = "partita profile MODEL measures them; where that fails, check that servers reach each other"
        yield Finding("links", "note", f"not measured: {', '.join(missing)}", advice)
    old = [
        f"{link.source} → {link.target} ({units.age(now - link.measured_at)})"
        for link in cluster.links
        if link.measured_at and now - link.measured_at > OLDEST_LINK_SECONDS
    ]
    if old:
        advice = "start servers with --link-budget above 0, which has them measured again in the background"
        yield Finding("links", "note", f"measured long ago: {', '.join(old)}", advice)
    if len(names) > 1 and not missing and not old:
        yield Finding("links", "fine", f"all {len(known)} are measured")
