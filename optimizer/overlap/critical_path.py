"""A lower bound on the latency of every placement: the critical path that no placement can avoid.

With t_i(k, q) the time of layer i on server k in float or int8 and x_pi(h, q', k) the time of what p sends to i,
L(i, k, q) = t_i(k, q) + max over producers p of min over (h, q') of [L(p, h, q') + x_pi(h, q', k)]
is a time before which i cannot have ended on k: the real placement is one of those that the minimum ranges over.
Within a server nothing is sent but by the generator and to the receiver, as the two may share a component.
"""

from collections import defaultdict

import networkx as nx
import numpy as np

from core.cost import CostTables, Numbers, Transfers
from core.graph import RECEIVER
from core.problem import Problem
from optimizer.noise import ENUMERATED, all_masks, allowed_masks


def critical_path_bound(problem: Problem) -> float:
    """Seconds that every placement's simulated latency reaches; infinite where links are missing for any."""
    costs = problem.costs
    names = list(costs.rows)
    seconds, spared = _layer_seconds(problem)
    sent: dict[int, dict[int, list[Transfers]]] = defaultdict(lambda: defaultdict(list))
    for group in costs.transfers:
        for target in group.targets:
            sent[target][group.producer].append(group)
    ends = np.full_like(seconds, np.inf)
    for name in problem.model.topological_order:
        row = costs.rows[name]
        # Not from 0 on where something is waited for: a correction below zero counts in its whole component.
        begin = np.full(seconds.shape[1], -np.inf if sent[row] else 0.0)
        for producer, groups in sent[row].items():
            at_ends = producer == len(names) - 2 or row == len(names) - 1
            arrival = ends[producer][:, :, None] + _sending(costs, groups, at_ends)
            np.maximum(begin, arrival.min(axis=(0, 1)), out=begin)
        ends[row] = begin[:, None] + seconds[row]
    return max(0.0, float(ends[costs.rows[RECEIVER]].min()) + spared)


def _sending(costs: CostTables, groups: list[Transfers], at_ends: bool) -> Numbers:
    """Seconds from one layer to another: source server × precision × target server.

    Tensors to another server queue behind each other; those to the same server arrive one by one, if they are sent.
    """
    sending: Numbers = np.sum([costs.queue_seconds(group) for group in groups], axis=0) + costs.delays[:, None]
    own = np.arange(sending.shape[0])
    sending[own, :, own] = 0.0
    if at_ends:
        longest = [costs.transfer_seconds(group)[own, :, own] / group.tensors for group in groups]
        sending[own, :, own] = np.max(longest, axis=0)
    sending[np.broadcast_to(costs.missing[:, None], sending.shape)] = np.inf
    return sending


def _layer_seconds(problem: Problem) -> tuple[Numbers, float]:
    """Least contribution of each layer to a path (rows × servers × 2), and what the others may spare, below zero.

    A time below zero is a correction that counts in a component's sum, so it may shorten a path that its layer is
    not on, unless every path has that layer.
    """
    seconds = problem.costs.seconds.copy()
    possible = [problem.costs.rows[name] for name in possibly_int8(problem)]
    seconds[np.setdiff1d(np.arange(len(seconds)), possible), :, 1] = np.inf
    negative = [name for name in problem.model.by_name if seconds[problem.costs.rows[name]].min() < 0]
    if not negative:
        return seconds, 0.0
    always = _always_on_path(problem)
    spared = 0.0
    for name in negative:
        if name not in always:
            times = seconds[problem.costs.rows[name]]
            spared += float(times.min())
            np.maximum(times, 0.0, out=times)
    return seconds, spared


def possibly_int8(problem: Problem) -> set[str]:
    """Layers that are int8 in some set within the limit on noise; all, where there are too many to look."""
    layers = problem.model.quantizable
    if len(layers) > ENUMERATED:
        return set(layers)
    allowed = all_masks(len(layers))[allowed_masks(problem.noise, layers, problem.limits.noise)]
    return {name for number, name in enumerate(layers) if allowed[:, number].any()}


def _always_on_path(problem: Problem) -> set[str]:
    """Layers that are on every path to the receiver."""
    graph = problem.model.digraph.copy()
    source = "<source>"
    graph.add_edges_from((source, name) for name, degree in list(graph.in_degree()) if degree == 0)
    above = nx.immediate_dominators(graph, source)
    name = RECEIVER
    found = set()
    while name != source:
        found.add(name)
        name = above[name]
    return found
