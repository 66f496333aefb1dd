"""Random placements: a few contiguous parts on random servers, or layers scattered over them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from core.graph import ModelGraph

MOST_CUTS = 4
"""Most cuts of a contiguous placement; it has one at least."""

SCATTERED_EVERY = 5
"""Every fifth placement is scattered."""

SCATTERED_SHARE = 0.03
"""Share of the layers that a scattered placement moves elsewhere, on top of its cuts."""


@dataclass(frozen=True)
class Placement:
    """Where each layer runs, and which are int8."""

    servers: dict[str, str]
    quantized: tuple[str, ...]
    scattered: bool


def random_placements(graph: ModelGraph, servers: Sequence[str], count: int, seed: int) -> list[Placement]:
    """Draw repeatable placements.

    Cuts fall between any two layers in topological order, so within what a runtime fuses too; neighbouring parts
    are on different servers. Each layer of V_Q is int8 with probability 0, ¼, ½, ¾ or 1, drawn per placement.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    order = [name for name in graph.topological_order if name in graph.by_name]
    found = []
    for number in range(count):
        cuts = sorted(dice.sample(range(1, len(order)), min(dice.randint(1, MOST_CUTS), len(order) - 1)))
        placed: dict[str, str] = {}
        last = ""
        for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            last = dice.choice([name for name in servers if name != last] or list(servers))
            placed.update(dict.fromkeys(order[begin:end], last))
        scattered = number % SCATTERED_EVERY == SCATTERED_EVERY - 1
        if scattered:
            for name in dice.sample(order, max(1, round(SCATTERED_SHARE * len(order)))):
                placed[name] = dice.choice(servers)
        chance = dice.randint(0, 4) / 4
        quantized = tuple(name for name in graph.quantizable if dice.random() < chance)
        found.append(Placement(placed, quantized, scattered))
    return found
