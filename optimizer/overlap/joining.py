"""How finely to divide: super-nodes on one server become one component where that costs no time.

A component waits for all its inputs and sends only at its end, so joining can cost overlap; but every component also
costs a little that the simulation does not see.
"""

from collections.abc import Callable, Sequence

from core.simulation import Send, run
from optimizer.clock import never
from optimizer.overlap.contraction import Contraction
from optimizer.overlap.state import State

COMPONENT_SECONDS = 1e-3
"""What a component costs by itself: joining two may delay the answer by as much."""


def joined(contraction: Contraction, state: State, stop: Callable[[], bool] = never) -> list[list[str]]:
    """The layers of each component, generator and receiver alone; joined so far where ``stop`` ends it."""
    joining = _Joining(contraction, state)
    joining.run(stop)
    members: dict[int, list[str]] = {}
    for node, group in enumerate(joining.groups):
        members.setdefault(group, []).extend(contraction.members[node])
    return list(members.values())


class _Joining:
    """Super-nodes in groups; a group goes by its first super-node."""

    def __init__(self, contraction: Contraction, state: State) -> None:
        self._contraction = contraction
        self._state = state
        self.groups = list(range(contraction.size))
        self._edges = list(
            dict.fromkeys(
                (parcel.sender, target)
                for parcels in contraction.parcels
                for parcel in parcels
                for target in parcel.targets
                if target != parcel.sender
            )
        )

    def run(self, stop: Callable[[], bool]) -> None:
        """Join until no two neighbours can be joined without loss, or until it is to stop."""
        seconds = self._seconds(self.groups)
        last = self._contraction.size - 1
        changed = True
        while changed:
            changed = False
            for node, other in self._edges:
                if stop():
                    return
                one, two = self.groups[node], self.groups[other]
                if one == two or one == 0 or two == last or self._state.places[one] != self._state.places[two]:
                    continue
                trial = [min(one, two) if group in (one, two) else group for group in self.groups]
                if self._has_detour(one, two):
                    continue
                after = self._seconds(trial)
                if after <= seconds + COMPONENT_SECONDS:
                    self.groups, seconds, changed = trial, after, True

    def _has_detour(self, one: int, two: int) -> bool:
        """Whether a path leads from one group to the other through a third."""
        below: dict[int, set[int]] = {}
        for node, other in self._edges:
            below.setdefault(self.groups[node], set()).add(self.groups[other])
        waiting = list(below.get(one, set()) - {one, two})
        seen = set(waiting)
        while waiting:
            for group in below.get(waiting.pop(), ()):
                if group == two:
                    return True
                if group not in seen:
                    seen.add(group)
                    waiting.append(group)
        return False

    def _seconds(self, groups: Sequence[int]) -> float:
        """Latency with each group a component."""
        size = len(groups)
        seconds, waits = [0.0] * size, [0] * size
        sends: list[list[Send]] = [[] for _ in range(size)]
        for node, group in enumerate(groups):
            seconds[group] += self._state.seconds[node]
            for send in self._state.sends[node]:
                receivers = tuple(dict.fromkeys(groups[receiver] for receiver in send.receivers))
                outside = tuple(receiver for receiver in receivers if receiver != group)
                for receiver in outside:
                    waits[receiver] += 1
                if outside:
                    sends[group].append(Send(send.seconds, send.delay, send.queued, outside))
        servers = [*self._state.places[:-1], max(self._state.places) + 1]
        return run(servers, [max(0.0, one) for one in seconds], waits, sends, max(servers) + 1)
