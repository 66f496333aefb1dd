"""``partita up``, ``serve`` and ``servers``."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partita import units
from partita.cli.options import DEFAULT_ADDRESS, Address, AsJson
from partita.cli.output import err, out, print_json, table

if TYPE_CHECKING:
    from core.cluster import Cluster

SIZES = {"64 KiB": 2**16, "1 MiB": 2**20, "16 MiB": 2**24}
"""Of tensors whose transfer times are shown."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    # Flags and --help are those of ``python -m services``.
    passed_on = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command(context_settings=passed_on)(serve)
    app.command()(servers)


def up(
    listen: Annotated[
        str, typer.Option("--address", envvar="PARTITA_ADDRESS", metavar="HOST:PORT", help="Where to listen.")
    ] = DEFAULT_ADDRESS,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIRECTORY", help="Where state and logs are kept.", file_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a cluster of three servers on this machine until Ctrl-C: device, edge and cloud.

    Their speeds and links are emulated. Without --data, everything is forgotten at the end.
    """
    asyncio.run(_up(listen, data, as_json))


async def _up(listen: str, data: Path | None, as_json: bool) -> None:
    from partita import aio
    from partita.cluster import embedded_cluster

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine run by asyncio.run is one
    asked_to_stop = False

    def stop() -> None:
        nonlocal asked_to_stop
        # Once only: a second signal must not break the orderly end that the first one began.
        if not asked_to_stop:
            asked_to_stop = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        with err.status("starting the cluster"):
            running = embedded_cluster(directory=data, listen=listen)
            cluster = await running.__aenter__()
        try:
            async with aio.connect(cluster.address) as client:
                seen = await client.cluster()
            if as_json:
                print_json({"address": cluster.address, "servers": [server.name for server in seen.servers]})
            else:
                print_servers(seen)
                out.print(f"\nPartita is up at [bold]{cluster.address}[/bold]; logs are in {cluster.directory}.")
                out.print("Ctrl-C ends it.")
            sys.stdout.flush()
            await asyncio.Event().wait()
        finally:
            err.print("stopping")
            await running.__aexit__(None, None, None)
    except asyncio.CancelledError:
        if not asked_to_stop:
            raise


def serve(context: typer.Context) -> None:
    """Run one or more services in this process: partita serve NAME… [--flag value]….

    The same as python -m services; partita serve --help lists names and flags.
    """
    from services.__main__ import main

    if sys.stderr.isatty():
        # Whoever looks on reads lines of text more easily than JSON.
        os.environ.setdefault("PARTITA_LOG_FORMAT", "text")
    raise typer.Exit(main(context.args))


def servers(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show the servers that take part, and the links between them."""
    from partita.client import connect

    with connect(address) as client:
        seen = client.cluster()
    if as_json:
        print_json(seen)
    else:
        print_servers(seen)


def print_servers(cluster: "Cluster") -> None:
    """Print servers and links as tables."""
    shown = table(
        *("server", "role", ">memory", ">free", ">load", ">computing", ">sending", "watts"),
        *(">draws now", ">temperature", ">battery", "machine"),
    )
    for server in cluster.servers:
        state = server.state
        if state is None:
            shown.add_row(server.name, server.role, *["–"] * 9, "no state yet; services: " + ", ".join(server.services))
            continue
        shown.add_row(
            server.name,
            server.role,
            units.byte_count(state.memory_bytes),
            units.byte_count(state.available_memory_bytes),
            f"{state.load:.0%}",
            f"{state.power.compute_watts:g} W",
            f"{state.power.transmit_watts:g} W",
            state.power.source,
            "–" if state.drawn_watts is None else f"{state.drawn_watts:.1f} W",
            "–" if state.temperature_celsius is None else f"{state.temperature_celsius:.0f} °C",
            "–" if state.battery_level is None else f"{state.battery_level:.0%}",
            state.description,
        )
    out.print(shown if cluster.servers else "No server has registered.")
    if cluster.links:
        links = table("link", ">throughput", ">round trip", *(f">{size}" for size in SIZES), ">spread", ">measured")
        for link in cluster.links:
            links.add_row(
                f"{link.source} → {link.target}",
                units.rate(link.bytes_per_second),
                units.seconds(link.rtt_seconds),
                *(units.seconds(link.seconds(size)) for size in SIZES.values()),
                f"±{link.spread:.0%}",
                f"{units.age(time.time() - link.measured_at)} ago" if link.measured_at else "–",
            )
        out.print()
        out.print(links)
