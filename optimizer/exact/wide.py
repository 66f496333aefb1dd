"""Elimination where all tables together would be too many to hold: one bucket's at a time, of which only messages stay.

A tensor with several destinations costs the sum over its distinct destinations. Over the servers of its producer and
consumers that is a large table of few different numbers (``optimizer.exact.network.Sending``), which is laid out only
while its bucket is added up.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.cost import Numbers
from optimizer.clock import unhurried
from optimizer.exact.alone import Remembered
from optimizer.exact.layout import Bucket, Layout
from optimizer.exact.network import Integers, Network

BLOCK = 200_000
"""About so many entries are added up at a time, so that they stay in the processor's cache."""

SLACK = 0.01
"""What may cost so much more than the least, relatively, says too little about what to leave out."""


@dataclass(frozen=True)
class WideEliminated:
    """An elimination for several weightings of the measures.

    Attributes:
        weightings: weightings × measures.
        values: the least cost of each.
        messages: by weighting and bucket.
    """

    weightings: Numbers
    values: Numbers
    messages: list[list[Numbers]]

    def alone(self, number: int) -> "WideEliminated":
        """Of one of the weightings."""
        one = slice(number, number + 1)
        return WideEliminated(self.weightings[one], self.values[one], self.messages[one])

    @staticmethod
    def joined(several: "Sequence[WideEliminated]") -> "WideEliminated":
        """Of the weightings of all of them."""
        return WideEliminated(
            np.concatenate([one.weightings for one in several]),
            np.concatenate([one.values for one in several]),
            [messages for one in several for messages in one.messages],
        )


class WideElimination:
    """The elimination of a network with wide buckets; always exact.

    Args:
        network: may have tensors that are not laid out.
        layout: of it, unsplit.
        check: called now and then by everything that takes long; may raise to end it.

    Attributes:
        measures: what the weightings weigh.
        entries: of all tables.
        held: how many numbers the elimination by one weighting keeps.
        states: how many states the variables have in all, those that occur in no table aside.
        remembered: eliminations by one weighting alone.
    """

    def __init__(self, network: Network, layout: Layout, check: Callable[[], None] = unhurried) -> None:
        self.check = check
        self.measures = network.measures
        self.entries = layout.entries
        self._network = network
        self._buckets = layout.buckets
        self.held = float(sum(math.prod(self._shape(bucket.scope[:-1], None)) for bucket in self._buckets))
        self.states = sum(network.sizes[bucket.scope[-1]] for bucket in self._buckets)
        self.remembered = Remembered()

    def run(self, weightings: Numbers) -> WideEliminated:
        """Eliminate all variables."""
        found = [self._once(weighting) for weighting in weightings]
        return WideEliminated(weightings, np.array([value for value, _ in found]), [one for _, one in found])

    def _once(self, weighting: Numbers) -> tuple[float, list[Numbers]]:
        value = self._constant(weighting)
        messages: list[Numbers] = []
        for bucket in self._buckets:
            self.check()
            message = _least(self._pieces(bucket, weighting, messages, None), self._shape(bucket.scope, None))
            if message.ndim == 0:
                value += float(message)
            messages.append(message)
        return value, messages

    def best(self, eliminated: WideEliminated) -> Integers:
        """By weighting, a state of least cost for each variable."""
        found = np.zeros((len(eliminated.values), len(self._network.sizes)), dtype=np.int64)
        for states, weighting, messages in zip(found, eliminated.weightings, eliminated.messages, strict=True):
            for bucket in reversed(self._buckets):
                self.check()
                states[bucket.scope[-1]] = np.argmin(self._row(bucket, weighting, messages, states))
        return found

    def margin(self, eliminated: WideEliminated, states: Integers) -> float:
        """As ``optimizer.exact.elimination.Elimination.margin``."""
        weighting, messages = eliminated.weightings[0], eliminated.messages[0]
        least = math.inf
        for bucket in self._buckets:
            lowest = np.partition(self._row(bucket, weighting, messages, states), 1)
            least = min(least, float(lowest[1] - lowest[0]))
        return least

    def _row(self, bucket: Bucket, weighting: Numbers, messages: list[Numbers], states: Integers) -> Numbers:
        """Costs over the states of a bucket's eliminated variable, where the others have the given ones."""
        chosen: list[Integers | None] = [states[[variable]] for variable in bucket.scope[:-1]]
        pieces = self._pieces(bucket, weighting, messages, [*chosen, None])
        rows = [values.reshape(-1) for axes, values in pieces if len(bucket.scope) - 1 in axes]
        return _sum(rows) if rows else np.zeros(self._network.sizes[bucket.scope[-1]])

    def measure(self, states: Integers) -> Numbers:
        """Every measure of one state for each variable; infinite where that is impossible."""
        measured = np.zeros(len(self.measures))
        for table in self._network.tables:
            here = tuple(states[list(table.scope)])
            measured = measured + table.values[(slice(None), *here)]
            if table.forbidden is not None and table.forbidden[here]:
                measured = measured + np.inf
        for sending in self._network.sendings:
            values, forbidden = sending.narrowed([states[[variable]] for variable in sending.variables]).table()
            measured = measured + values.reshape(len(measured))
            if forbidden.any():
                measured = measured + np.inf
        return measured

    def excluded(self, eliminated: WideEliminated, below: Numbers) -> list[Integers]:
        """For each variable the states that some assignment within ``below`` has.

        Of the weightings only those are looked at that leave little slack.
        """
        with np.errstate(over="ignore"):
            slack = (below - eliminated.values) / np.maximum(np.abs(eliminated.values), 1e-100)
        kept = [np.arange(size) for size in self._network.sizes]
        for number in np.argsort(slack):
            if slack[number] <= max(SLACK, slack.min()):
                weighting, messages = eliminated.weightings[number], eliminated.messages[number]
                self._narrow(kept, weighting, messages, float(eliminated.values[number]), float(below[number]))
        return kept

    def _narrow(
        self, kept: list[Integers], weighting: Numbers, messages: list[Numbers], value: float, below: float
    ) -> None:
        # By bucket the least cost of all that is not in its table, over the states kept of its message's scope.
        outside: list[Numbers] = [np.zeros(0)] * len(self._buckets)
        for number in range(len(self._buckets) - 1, -1, -1):
            self.check()
            bucket = self._buckets[number]
            if len(bucket.scope) == 1:
                outside[number] = np.array(value - messages[number])
            chosen: list[Integers | None] = [kept[variable] for variable in bucket.scope]
            shape = self._shape(bucket.scope, chosen)
            through = np.zeros(shape) + outside[number][..., None]
            outside[number] = np.zeros(0)
            for axes, values in self._pieces(bucket, weighting, messages, chosen):
                through += _spread(axes, values, shape)
            possible = (through <= below).reshape(-1, shape[-1]).any(axis=0)
            kept[bucket.scope[-1]] = kept[bucket.scope[-1]][possible]
            through = through[..., possible]
            if not possible.any():
                return
            for message in bucket.messages:
                absent = tuple(axis for axis, variable in enumerate(bucket.scope) if variable not in message.scope)
                own = messages[message.source][np.ix_(*(kept[variable] for variable in message.scope))]
                least = through.min(axis=absent)
                with np.errstate(invalid="ignore"):
                    outside[message.source] = np.where(np.isfinite(own), least - own, np.inf)

    def kept(self, excluded: Sequence[Integers]) -> list[Integers]:
        """What is left of each variable's states; of one that occurs in no table, the first."""
        used = {bucket.scope[-1] for bucket in self._buckets}
        return [states if variable in used else states[:1] for variable, states in enumerate(excluded)]

    def reduced(self, excluded: Sequence[Integers], kept: Sequence[Integers]) -> Network:  # noqa: ARG002 - as Elimination
        """The network of what is left; without tables where a variable has no state left."""
        if min(map(len, kept)) == 0:
            return Network(self.measures, [len(states) for states in kept])
        return self._network.narrowed(kept)

    def _constant(self, weighting: Numbers) -> float:
        alone = [table for table in self._network.tables if not table.scope]
        return float(
            sum(weighting @ table.values + (math.inf if table.forbidden is not None else 0.0) for table in alone)
        )

    def _shape(self, scope: Sequence[int], chosen: Sequence[Integers | None] | None) -> tuple[int, ...]:
        if chosen is None:
            return tuple(self._network.sizes[variable] for variable in scope)
        sizes = self._network.sizes
        return tuple(
            sizes[variable] if states is None else len(states) for variable, states in zip(scope, chosen, strict=True)
        )

    def _pieces(
        self,
        bucket: Bucket,
        weighting: Numbers,
        messages: list[Numbers],
        chosen: Sequence[Integers | None] | None,
    ) -> Iterator[tuple[tuple[int, ...], Numbers]]:
        """What a bucket adds up: axes of its scope, ascending, and weighted costs over the chosen states of these."""
        position = {variable: axis for axis, variable in enumerate(bucket.scope)}
        for table in bucket.tables:
            values = np.tensordot(weighting, table.values, 1)
            if table.forbidden is not None:
                values = np.where(table.forbidden, np.inf, values)
            yield self._placed([position[variable] for variable in table.scope], values, chosen)
        for message in bucket.messages:
            axes = [position[variable] for variable in message.scope]
            yield self._placed(axes, messages[message.source], chosen)
        for sending in bucket.sendings:
            here = sending
            if chosen is not None:
                states = [chosen[position[one]] if one in position else None for one in sending.variables]
                everything = zip(states, sending.sizes, strict=True)
                here = sending.narrowed([np.arange(size) if some is None else some for some, size in everything])
            values = here.laid_out(weighting)
            used = [
                (position[one], size) for one, size in zip(here.variables, values.shape, strict=True) if one in position
            ]
            yield self._placed([axis for axis, _ in used], values.reshape([size for _, size in used]), None)

    @staticmethod
    def _placed(
        axes: list[int], values: Numbers, chosen: Sequence[Integers | None] | None
    ) -> tuple[tuple[int, ...], Numbers]:
        """Costs with their axes in ascending order, and of these the chosen states."""
        places = sorted(range(len(axes)), key=axes.__getitem__)
        values, axes = values.transpose(places), sorted(axes)
        for place, axis in enumerate(axes if chosen is not None else ()):
            states = chosen[axis] if chosen is not None else None
            if states is not None:
                values = values.take(states, axis=place)
        return tuple(axes), values


def _spread(axes: tuple[int, ...], values: Numbers, shape: Sequence[int]) -> Numbers:
    return values.reshape([size if axis in axes else 1 for axis, size in enumerate(shape)])


def _least(pieces: Iterable[tuple[tuple[int, ...], Numbers]], shape: tuple[int, ...]) -> Numbers:
    """The least over the last axis of the pieces' sum."""
    last = len(shape) - 1
    sums: dict[tuple[int, ...], Numbers] = {}
    for axes, values in pieces:
        sums[axes] = sums[axes] + values if axes in sums else values
    # Small pieces are added to larger ones that have all their axes, for that is less work than to the whole.
    largest: list[tuple[tuple[int, ...], Numbers]] = []
    for axes in sorted(sums, key=len):
        values = sums.pop(axes)
        target = min((other for other in sums if {*axes} < {*other}), key=len, default=None)
        if target is None:
            largest.append((axes, values))
        else:
            sums[target] = sums[target] + values.reshape([shape[axis] if axis in axes else 1 for axis in target])
    beside = [(axes, values) for axes, values in largest if last not in axes]
    # The variable first: the least is then taken of whole rows at a time.
    with_it = [np.moveaxis(_spread(axes, values, shape), -1, 0) for axes, values in largest if last in axes]
    if not with_it:
        message = np.zeros(shape[:-1])
    elif len(shape) > 2 and math.prod(shape) > BLOCK:
        message = np.empty(shape[:-1])
        for index in range(shape[0]):
            message[index] = _sum([one[:, index if one.shape[1] > 1 else 0] for one in with_it]).min(axis=0)
    else:
        message = np.broadcast_to(_sum(with_it).min(axis=0), shape[:-1])
    for axes, values in beside:
        message = message + _spread(axes, values, shape)[..., 0]
    return message


def _sum(pieces: Sequence[Numbers]) -> Numbers:
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    return total
