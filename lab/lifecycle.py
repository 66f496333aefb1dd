"""A lab from its first namespace to its last."""

import json
import socket
import sys
from dataclasses import replace

from core.documents import dumps
from core.errors import FailedPreconditionError, InvalidArgumentError
from lab import state
from lab.commands import require_machine, run, run_all, succeeds
from lab.network import CONTROL, PREFIX, namespace_prefix, root_interface
from lab.processes import Process, start, start_relay, stop_all, wait_until_says
from lab.service_commands import control_address, service_commands
from lab.state import Change, Lab, Shaping
from lab.tc import shape_commands
from lab.topology import Shape, Topology


def raise_links(topology: Topology, name: str, shaping: Shaping | None = None) -> Lab:
    """Make a lab's namespaces and links, without services.

    Args:
        shaping: by what; ``None`` takes ``netem`` where the kernel has it, else ``tc`` where rates are all that links
            have, else the relay.

    Raises:
        FailedPreconditionError: the machine cannot, or a lab of this name is up.
    """
    state.check_name(name)
    require_machine(topology)
    if leftovers(name):
        take_down(name)
    lab = state.reserve(name, topology)
    try:
        run_all(lab.network.base_commands())
        lab = state.set_shaping(name, _choose_shaping(lab, shaping))
        if lab.shaping == "relay":
            start_relay(lab)
            run_all(lab.network.relay_commands())
        else:
            run_all(lab.network.veth_commands())
            for link in topology.links:
                _shape_by_tc(lab, Change(link.source, link.target, link.shape))
    except BaseException:
        take_down(name)
        raise
    return lab


def leftovers(name: str) -> bool:
    """Whether namespaces of a lab are there whose state is lost."""
    return not (state.directory_of(name) / "state.json").exists() and bool(_namespaces(namespace_prefix(name)))


def start_services(lab: Lab) -> dict[str, Process]:
    """Start the control services, and when they listen each server's; returns all processes.

    Raises:
        FailedPreconditionError: the control services did not start; the message has the end of their log.
    """
    started = {}
    for server, command in service_commands(lab).items():
        started[server] = start(lab, lab.network.namespace(server), server, command)
        if server == CONTROL:
            wait_until_says(lab, CONTROL, started[CONTROL], control_address(lab))
    return started


def start_traces(lab: Lab) -> None:
    """Begin to play the traces of links, if there are any."""
    if any(link.trace for link in lab.topology.links):
        start(lab, lab.network.namespace(CONTROL), "traces", [sys.executable, "-m", "lab.player", lab.name])


def change_link(name: str, change: Change) -> Lab:
    """Give a link of a running lab another shape.

    Raises:
        NotFoundError: there is no such lab or link.
        FailedPreconditionError: the lab's links have no delays, or its relay has ended.
    """
    lab = state.load(name)
    lab.topology.link(f"{change.source}:{change.target}")
    if lab.shaping == "relay":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as relay:
            try:
                relay.connect(str(lab.relay_socket))
            except OSError:
                raise FailedPreconditionError(
                    f"the relay of the lab {name!r} has ended; begin anew with `partita lab down --name {name}`"
                ) from None
            relay.send(dumps(change).encode())
    else:
        _shape_by_tc(lab, change)
    return state.set_shape(name, change)


def take_down(name: str) -> bool:
    """Remove everything a lab is made of, whatever of it is left; returns whether there was anything.

    Raises:
        FailedPreconditionError: something cannot be removed.
    """
    state.check_name(name)
    namespaces = _namespaces(namespace_prefix(name))
    interface = succeeds(["ip", "link", "show", root_interface(name)])
    found = bool(namespaces) or interface or state.directory_of(name).exists()
    control = namespace_prefix(name) + CONTROL
    # Servers first: they take leave of the control services.
    stop_all([namespace for namespace in namespaces if namespace != control])
    stop_all([namespace for namespace in namespaces if namespace == control])
    if interface:
        run(["ip", "link", "delete", root_interface(name)])
    run_all(["ip", "netns", "delete", namespace] for namespace in namespaces)
    state.forget(name)
    return found


def labs() -> list[str]:
    """The names of all labs of which anything is left."""
    prefix = f"{PREFIX}-"
    found = {namespace.removeprefix(prefix).split("-")[0] for namespace in _namespaces(prefix)}
    return sorted(found | set(state.names()))


def _namespaces(prefix: str) -> list[str]:
    listed = json.loads(run(["ip", "-json", "netns", "list"]) or "[]")
    return sorted(one["name"] for one in listed if one["name"].startswith(prefix))


def _choose_shaping(lab: Lab, wanted: Shaping | None) -> Shaping:
    control = lab.network.namespace(CONTROL)
    has_netem = succeeds(["tc", "-n", control, "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "0us"])
    if has_netem:
        run(["tc", "-n", control, "qdisc", "delete", "dev", "lo", "root"])
    chosen: Shaping = wanted or ("netem" if has_netem else "relay" if lab.topology.needs_delays else "tc")
    if chosen == "netem" and not has_netem:
        raise InvalidArgumentError("this kernel has no netem; `modprobe sch_netem`, or take --shaping relay")
    if chosen == "tc" and lab.topology.needs_delays:
        raise InvalidArgumentError("some links have delay, jitter or loss, which --shaping tc cannot make; take relay")
    return chosen


def _shape_by_tc(lab: Lab, change: Change) -> None:
    if lab.shaping == "tc" and change.shape.needs_delays:
        raise FailedPreconditionError(
            "this lab's links have no delay, jitter or loss; begin anew with `partita lab up --shaping relay`"
        )
    namespace, interface = lab.network.namespace(change.source), lab.network.link_interface(change.target)
    run_all(shape_commands(namespace, interface, change.shape, netem=lab.shaping == "netem"))


def reshape(lab: Lab, link_name: str, **values: float) -> Change:
    """A change of some of a link's values; the others stay as they are now.

    Raises:
        NotFoundError: there is no such link.
        InvalidArgumentError: the jitter would exceed the delay.
    """
    link = lab.topology.link(link_name)
    shape: Shape = replace(link.shape, **values)
    if shape.jitter_seconds > shape.delay_seconds:
        raise InvalidArgumentError(
            f"the jitter of {shape.jitter_seconds * 1e3:g} ms would exceed the delay of "
            f"{shape.delay_seconds * 1e3:g} ms; a packet cannot be early"
        )
    return Change(link.source, link.target, shape)
