"""Placements that fill one server's memory after another, for models that fit no two servers."""

import itertools
from collections.abc import Iterator, Sequence

from core.problem import Problem

ORDERS = 24
"""Most orders of the servers that are tried: all of four."""


def packed_placements(problem: Problem) -> Iterator[dict[str, str]]:
    """Placements of all layers in float within every server's memory, by several orders of the servers.

    In topological order, layers go to a server while its memory lasts, then to the next one. A layer that may not run
    there goes to the first server that may run it and has room.
    """
    order = [name for name in problem.model.topological_order if name in problem.model.by_name]
    seconds = {server.name: sum(_seconds(problem, server.name, name) for name in order) for server in problem.servers}
    servers = sorted(seconds, key=seconds.__getitem__)
    for permutation in itertools.islice(itertools.permutations(servers), ORDERS):
        placement = _packed(problem, order, permutation)
        if placement is not None:
            yield placement


def _seconds(problem: Problem, server: str, layer: str) -> float:
    time = problem.execution.get(server, {}).get(layer)
    return 0.0 if time is None else time.seconds


def _packed(problem: Problem, order: Sequence[str], servers: Sequence[str]) -> dict[str, str] | None:
    room = {
        server.name: float("inf") if server.memory_bytes is None else server.memory_bytes for server in problem.servers
    }
    left = list(servers)
    placement: dict[str, str] = {}
    for name in order:
        weight = problem.model.by_name[name].weight_bytes
        allowed = problem.allowed_servers(name)
        while left and left[0] in allowed and room[left[0]] < weight:
            left.pop(0)
        server = next((one for one in left or servers if one in allowed and room[one] >= weight), None)
        if server is None:
            return None
        placement[name] = server
        room[server] -= weight
    return placement
