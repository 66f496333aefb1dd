"""Simulated annealing over super-nodes: move by move, seldom for the worse, ever less often.

Moves put on another server: a super-node, one at a border between servers, or a run of the topological order; or
they change a layer between float and int8, alone or in exchange for another.
"""

import math
import random
from collections.abc import Callable, Iterator

from optimizer.overlap.contraction import Contraction
from optimizer.overlap.state import Move, State

HOT, COLD = 3e-2, 1e-5
"""First and last temperature, relative to the score at the start."""

SEED = 20
"""Of the pseudo-random moves: equal problems get equal plans."""


def anneal(
    state: State, contraction: Contraction, score: Callable[[State], float], trials: int, stop: Callable[[], bool]
) -> None:
    """Change the state to the best found within the limits; it is never worse than at the start.

    Args:
        state: within the limits.
        contraction: the state's.
        score: what to make small.
        trials: how many moves to try.
        stop: asked before every trial whether to end at once.
    """
    moves = _Moves(state, contraction)
    if not moves.possible:
        return
    chance = random.Random(SEED)  # noqa: S311 - no secret
    current = best = score(state)
    kept = _snapshot(state)
    heat = abs(current) or 1.0
    for trial in range(trials):
        if stop():
            break
        undo = state.apply(moves.draw(chance))
        value = score(state) if state.within_limits else math.inf
        temperature = heat * HOT * (COLD / HOT) ** (trial / trials)
        if value <= current or chance.random() < math.exp((current - value) / temperature):
            current = value
            if value < best:
                best, kept = value, _snapshot(state)
        else:
            state.apply(undo)
    _restore(state, kept)
    _descend(state, moves, score, stop)


def _descend(state: State, moves: "_Moves", score: Callable[[State], float], stop: Callable[[], bool]) -> None:
    """Try every single change, over and over, until none helps."""
    best = score(state)
    improved = True
    while improved:
        improved = False
        for move in moves.single():
            if stop():
                return
            undo = state.apply(move)
            value = score(state) if state.within_limits else math.inf
            if value < best - 1e-12 * abs(best):
                best, improved = value, True
            else:
                state.apply(undo)


def _snapshot(state: State) -> tuple[list[int], list[bool]]:
    return state.places.copy(), state.int8.copy()


def _restore(state: State, kept: tuple[list[int], list[bool]]) -> None:
    places, int8 = kept
    changed = [(node, server) for node, server in enumerate(places) if state.places[node] != server]
    toggles = [layer for layer, chosen in enumerate(int8) if state.int8[layer] != chosen]
    state.apply(Move(tuple(changed), tuple(toggles)))


class _Moves:
    """The changes that a state can undergo."""

    def __init__(self, state: State, contraction: Contraction) -> None:
        self._state = state
        self._contraction = contraction
        self._free = [node for node, servers in enumerate(contraction.servers) if len(servers) > 1]
        self._edges = [
            (parcel.sender, target)
            for parcels in contraction.parcels
            for parcel in parcels
            for target in parcel.targets
            if target != parcel.sender
        ]
        self._layers = len(contraction.homes)

    @property
    def possible(self) -> bool:
        """Whether anything can change."""
        return bool(self._free) or self._layers > 0

    def single(self) -> Iterator[Move]:
        """Every change of one super-node or one layer, from the state as it is when each is asked for."""
        for node in self._free:
            for server in self._contraction.servers[node]:
                if server != self._state.places[node]:
                    yield Move(((node, server),))
        for layer in range(self._layers):
            yield Move(toggles=(layer,))

    def draw(self, chance: random.Random) -> Move:
        """A change by chance."""
        kind = chance.random()
        if self._layers and (kind < 0.15 or not self._free):
            return self._toggle(chance)
        if kind < 0.55 and self._edges:
            move = self._at_border(chance)
            if move is not None:
                return move
        if kind < 0.75:
            return self._run(chance)
        return self._single(chance)

    def _toggle(self, chance: random.Random) -> Move:
        layer = chance.randrange(self._layers)
        other = chance.randrange(self._layers)
        int8 = self._state.int8
        # An exchange keeps a tight limit on noise.
        exchanged = int8[layer] != int8[other] and chance.random() < 0.5
        return Move(toggles=(layer, other) if exchanged else (layer,))

    def _single(self, chance: random.Random) -> Move:
        node = chance.choice(self._free)
        return Move(((node, chance.choice(self._contraction.servers[node])),))

    def _at_border(self, chance: random.Random) -> Move | None:
        places, servers = self._state.places, self._contraction.servers
        for _ in range(8):
            node, other = chance.choice(self._edges)
            if places[node] == places[other]:
                continue
            if chance.random() < 0.5:
                node, other = other, node
            if places[other] in servers[node]:
                return Move(((node, places[other]),))
        return None

    def _run(self, chance: random.Random) -> Move:
        size = self._contraction.size
        length = 1 + int(size / 3 * chance.random() ** 2)
        begin = chance.randrange(1, size - 1)
        servers = self._contraction.servers
        server = chance.choice(servers[chance.choice(self._free)])
        run = range(begin, min(begin + length, size - 1))
        return Move(tuple((node, server) for node in run if server in servers[node]))
