"""``partita lab``: a testbed of several servers on one Linux machine."""

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from core.errors import FailedPreconditionError, InvalidArgumentError, PartitaError
from partita import units
from partita.cli.options import AsJson, pairs
from partita.cli.output import err, out, print_json, progress_bar, table

if TYPE_CHECKING:
    from lab.measure import Comparison
    from lab.state import Lab
    from lab.topology import Link, Shape, Topology

lab_app = typer.Typer(
    help="A testbed on this machine: servers in network namespaces, with the links of a topology file. Needs root.",
    no_args_is_help=True,
)

TopologyName = Annotated[
    str, typer.Argument(metavar="TOPOLOGY", help="A YAML file, or a preset: thesis, lan, 4g, two-pis or eight-pis.")
]
Name = Annotated[str, typer.Option("--name", help="Of the lab, where several are up.")]
Shaping = Annotated[
    Literal["netem", "relay", "tc"] | None,
    typer.Option(
        "--shaping",
        help="netem: the kernel's; relay: a process of Partita's, where the kernel has no netem; tc: rates alone. "
        "Default: the first that this machine and these links allow.",
        show_default=False,
    ),
]
DEFAULT_NAME = "lab"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(lab_app, name="lab")


@lab_app.callback()
def _group() -> None:
    if find_spec("yaml") is None:
        raise InvalidArgumentError("the lab reads YAML; install its reader with `pip install 'partita[lab]'`")


@lab_app.command("up")
def up(
    topology: TopologyName,
    name: Name = DEFAULT_NAME,
    shaping: Shaping = None,
    services: Annotated[bool, typer.Option("--services/--links-only", help="Start Partita on all servers.")] = True,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Check that links are as asked.")] = True,
    as_json: AsJson = False,
) -> None:
    """Bring a lab up, in the background; `partita lab down` ends it.

    Ends with an error, and takes everything down, where a link's measured bandwidth or delay is more than 10 % off.
    """
    from lab.lifecycle import raise_links, start_traces, take_down
    from lab.service_commands import control_address
    from lab.topology_file import load_topology

    lab = raise_links(load_topology(topology), name, shaping)
    try:
        compared = _measured(lab) if measure else []
        if compared and not as_json:
            _show(compared)
        _require_agreement(compared)
        if services:
            asyncio.run(_start_services(lab))
        start_traces(lab)
    except BaseException:
        take_down(name)
        raise
    address = control_address(lab) if services else None
    if as_json:
        print_json({**_summary(lab, compared), "address": address})
        return
    out.print(f"\nThe lab [bold]{name}[/bold] is up; logs are in {lab.directory}.")
    if address:
        out.print(f"Partita is at [bold]{address}[/bold]: partita servers --address {address}")
    out.print("partita lab down" + ("" if name == DEFAULT_NAME else f" --name {name}") + " ends it.")


@lab_app.command("down")
def down(
    name: Name = DEFAULT_NAME,
    every: Annotated[bool, typer.Option("--all", help="All labs on this machine.")] = False,
) -> None:
    """Take a lab down: its processes, namespaces, interfaces and files, also what a crash left."""
    from lab.commands import require_machine
    from lab.lifecycle import labs, take_down

    require_machine()
    for one in labs() if every else [name]:
        err.print(f"the lab {one} is down" if take_down(one) else f"there was no lab {one}")


@lab_app.command("set")
def change(
    link: Annotated[str, typer.Argument(metavar="LINK", help="For example device:edge.")],
    values: Annotated[list[str], typer.Argument(metavar="bandwidth=… delay=… jitter=… loss=…")],
    name: Name = DEFAULT_NAME,
) -> None:
    """Change a link of a running lab, for example: partita lab set device:edge bandwidth=2MB/s delay=20ms.

    What is not named stays. A link that follows a trace follows it again from the trace's next line on.
    """
    from lab import state
    from lab.commands import require_machine
    from lab.lifecycle import change_link, reshape

    require_machine()
    made = reshape(state.load(name), link, **_shape_values(values))
    changed = change_link(name, made)
    err.print(f"{link} now has {_shape_words(changed.topology.link(link).shape)}")


@lab_app.command("show")
def show(name: Name = DEFAULT_NAME, as_json: AsJson = False) -> None:
    """Show a running lab: its address, its servers and what its links are now."""
    from lab import state
    from lab.commands import require_machine
    from lab.network import CONTROL
    from lab.processes import running
    from lab.service_commands import control_address

    require_machine()
    lab = state.load(name)
    if as_json:
        print_json({**_summary(lab, []), "address": control_address(lab)})
        return
    shown = table("server", "role", "address", ">threads", "cores", ">slow-down", ">processes")
    for server in lab.topology.servers:
        cores = ", ".join(map(str, server.cores)) or "all"
        count = len(running([lab.network.namespace(server.name)]))
        details = (str(server.threads), cores, f"{server.slowdown:g}", str(count))
        shown.add_row(server.name, server.role, lab.network.address(server.name), *details)
    out.print(shown)
    links = table("link", "now")
    for link in lab.topology.links:
        links.add_row(link.name, _shape_words(link.shape) + (", follows a trace" if link.trace else ""))
    out.print(links)
    count = len(running([lab.network.namespace(CONTROL)]))
    out.print(
        f"control services: {control_address(lab)}; links by {lab.shaping}; {count} processes beside the servers'"
    )
    out.print(f"logs are in {lab.directory}")


@lab_app.command("check")
def check(
    topology: TopologyName,
    shaping: Shaping = None,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Only read the file; needs no root.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a topology, bring its links up, measure each and take them down again.

    Ends with an error where a link's bandwidth or delay is more than 10 % off.
    """
    from lab.lifecycle import raise_links, take_down
    from lab.topology_file import load_topology

    read = load_topology(topology)
    if validate_only:
        _show_topology(read, as_json)
        return
    if os.geteuid() != 0:
        raise FailedPreconditionError(
            f"{topology} reads well, but measuring its links needs root; run it as root, or with --validate-only"
        )
    lab = raise_links(read, f"c{os.getpid()}", shaping)
    try:
        compared = _measured(lab)
    finally:
        take_down(lab.name)
    if as_json:
        print_json(_summary(lab, compared))
    else:
        _show(compared)
    _require_agreement(compared)


@lab_app.command("print")
def print_preset(topology: TopologyName) -> None:
    """Print a preset, to begin a file of one's own with: partita lab print thesis > mine.yaml."""
    from lab.topology_file import find_topology

    sys.stdout.write(Path(find_topology(topology)).read_text(encoding="utf-8"))


def _measured(lab: "Lab") -> "list[Comparison]":
    from lab.measure import measure_links

    if not lab.topology.links:
        return []
    with progress_bar("measuring links") as progress:
        return measure_links(lab, lab.topology.links, progress)


def _require_agreement(compared: "list[Comparison]") -> None:
    wrong = [one for one in compared if not one.agrees]
    if wrong:
        raise FailedPreconditionError(
            f"{len(wrong)} of {len(compared)} links are more than 10 % off what was asked: "
            + "; ".join(
                f"{one.link.name} has {units.rate(one.measured.bytes_per_second)} for "
                f"{units.rate(one.link.shape.bytes_per_second)} and {units.seconds(one.measured.delay_seconds)} for "
                f"{units.seconds(one.link.shape.delay_seconds)}"
                for one in wrong
            )
            + "; ask for less, or leave the machine to the lab alone"
        )


async def _start_services(lab: "Lab") -> None:
    from lab.lifecycle import start_services
    from lab.network import CONTROL
    from lab.processes import log_end
    from lab.service_commands import control_address
    from partita.cluster import all_registered

    with err.status("starting the services"):
        started = start_services(lab)
        names = set(started) - {CONTROL}
        waiting = asyncio.ensure_future(all_registered(control_address(lab), names, lab.directory))
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.2)
            for server, process in started.items():
                if process.poll() is not None:
                    waiting.cancel()
                    raise FailedPreconditionError(f"the services of {server} have ended; {log_end(lab, server)}")
        await waiting


def _shape_values(texts: list[str]) -> dict[str, float]:
    from lab import units as written

    readers = {
        "bandwidth": ("bytes_per_second", written.bandwidth),
        "delay": ("delay_seconds", written.duration),
        "jitter": ("jitter_seconds", written.duration),
        "loss": ("loss", written.share),
    }
    values = {}
    for key, text in pairs(texts, "value", "bandwidth=2MB/s").items():
        if key not in readers:
            raise InvalidArgumentError(f"a link has no {key!r}; it has {', '.join(readers)}")
        field, read = readers[key]
        try:
            values[field] = read(text)
        except PartitaError as error:
            raise InvalidArgumentError(f"{key}: {error}") from None
    return values


def _summary(lab: "Lab", compared: "list[Comparison]") -> dict[str, Any]:
    """The JSON of a lab: what was asked of each link and, where measured, what it is."""
    measured = {one.link.name: one for one in compared}
    worst = {
        "bandwidth": max((one.bandwidth_error for one in compared), default=None),
        "delay": max((one.delay_error for one in compared), default=None),
    }
    return {
        "name": lab.name,
        "shaping": lab.shaping,
        "links": [_link_summary(link, measured.get(link.name)) for link in lab.topology.links],
        "worst_relative_error": worst,
    }


def _link_summary(link: "Link", compared: "Comparison | None") -> dict[str, Any]:
    summary: dict[str, Any] = {"source": link.source, "target": link.target, "asked": link.shape}
    if compared is not None:
        errors = {"bandwidth": compared.bandwidth_error, "delay": compared.delay_error}
        summary |= {"measured": compared.measured, "relative_error": errors, "agrees": compared.agrees}
    return summary


def _show(compared: "list[Comparison]") -> None:
    shown = table("link", ">bandwidth", ">measured", ">off by", ">delay", ">measured", ">off by", ">loss", ">measured")
    for one in compared:
        shape, measured = one.link.shape, one.measured
        shown.add_row(
            one.link.name,
            units.rate(shape.bytes_per_second),
            units.rate(measured.bytes_per_second),
            f"{one.bandwidth_error:.1%}",
            units.seconds(shape.delay_seconds),
            units.seconds(measured.delay_seconds),
            f"{one.delay_error:.1%}",
            f"{shape.loss:.2%}" if shape.loss else "–",
            "–" if measured.loss is None else f"{measured.loss:.2%}",
        )
    out.print(shown)
    out.print("delays are one way; errors of those below 2.5 ms are relative to 2.5 ms")


def _show_topology(topology: "Topology", as_json: bool) -> None:
    if as_json:
        print_json(topology)
        return
    for link in topology.links:
        out.print(f"{link.name}: {_shape_words(link.shape)}" + (", follows a trace" if link.trace else ""))
    out.print(f"{len(topology.servers)} servers and {len(topology.links)} links: the file reads well")


def _shape_words(shape: "Shape") -> str:
    words = f"{units.rate(shape.bytes_per_second)}, {units.seconds(shape.delay_seconds)} one way"
    if shape.jitter_seconds:
        words += f" ± {units.seconds(shape.jitter_seconds)}"
    return words + (f", {shape.loss:.2%} lost" if shape.loss else "")
