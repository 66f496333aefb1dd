"""Which servers requests can be led to."""

from collections.abc import Sequence
from dataclasses import replace

from core.cluster import ServerRecord
from deployer.profiling import Profiles


def within_reach(profiles: Profiles) -> tuple[Profiles, tuple[str, ...]]:
    """Leave out servers to which the device has no link, or which have none to it.

    Other servers may lack links between them, over which a plan then sends nothing. But a request is led by the
    device's FrontEnd, which talks to all servers that take part.

    Returns:
        The profiles of those within reach, and a sentence on each server that is not.
    """
    device = profiles.servers[0].name
    known = {(link.source, link.target) for link in profiles.links}
    kept: list[ServerRecord] = []
    notes: list[str] = []
    for server in profiles.servers:
        missing = [f"{one} → {other}" for one, other in _both_ways(device, server.name) if (one, other) not in known]
        if missing:
            notes.append(
                f"{server.name} takes no part: the link {' and '.join(missing)} could not be measured, and the device "
                "leads every request"
            )
        else:
            kept.append(server)
    names = {server.name for server in kept}
    return (
        replace(
            profiles,
            servers=tuple(kept),
            execution={name: profile for name, profile in profiles.execution.items() if name in names},
            links=tuple(link for link in profiles.links if {link.source, link.target} <= names),
        ),
        tuple(notes),
    )


def _both_ways(device: str, server: str) -> Sequence[tuple[str, str]]:
    return [] if server == device else [(device, server), (server, device)]
