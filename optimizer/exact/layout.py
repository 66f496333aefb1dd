"""What is added up in which table to eliminate the variables of a network one after another."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from optimizer.clock import unhurried
from optimizer.exact.network import Network, Sending, Table
from optimizer.exact.order import elimination_order

LARGEST_TABLES = (400_000, 40_000, 4_000)
"""Most entries of one table; what would need more is split. The first is taken that keeps the sum in bounds."""

MOST_ENTRIES = 8_000_000
"""Most entries of all tables together, for some hundreds of megabytes in all."""


class TooLargeError(Exception):
    """The tables would be too large; the message says how large."""


@dataclass(frozen=True)
class Message:
    """What a bucket's least costs are over, and the number of that bucket."""

    source: int
    scope: tuple[int, ...]


@dataclass(frozen=True)
class Bucket:
    """Tables and messages that are added up to eliminate a variable.

    Attributes:
        scope: the variables of the sum, that to eliminate last, before it the next, and so on.
        tables: of the network.
        messages: of earlier buckets.
        sendings: of the network, not laid out.
        level: one more than those of the buckets that the messages come from, or that their split variables have.
        step: number of the variable in the order; mini-buckets of one variable share it.
        split: whether the variable has other mini-buckets.
    """

    scope: tuple[int, ...]
    tables: list[Table]
    messages: list[Message]
    sendings: list[Sending]
    level: int
    step: int
    split: bool


class Layout:
    """All buckets for a network, in order.

    Attributes:
        buckets: a message's source has a lower number than the bucket that it goes to.
        entries: of all buckets' tables.

    Args:
        check: called now and then; may raise to end it.
        whole: so many entries may be without splitting; ``None`` splits.

    Raises:
        TooLargeError: even split, the tables would have more than ``MOST_ENTRIES`` entries; or more than ``whole``.
    """

    def __init__(self, network: Network, check: Callable[[], None] = unhurried, whole: float | None = None) -> None:
        self._sizes = network.sizes
        scopes = [table.scope for table in network.tables] + [self._several(one) for one in network.sendings]
        order = elimination_order(network.sizes, scopes, check)
        self._position = {variable: index for index, variable in enumerate(order)}
        for self._largest in LARGEST_TABLES if whole is None else (math.inf,):
            check()
            self.buckets = self._laid_out(network, order)
            self.entries = sum(self._entries(bucket.scope) for bucket in self.buckets)
            if self.entries <= (MOST_ENTRIES if whole is None else whole):
                return
        raise TooLargeError(f"elimination would take {self.entries:.2g} table entries")

    def _laid_out(self, network: Network, order: Sequence[int]) -> list[Bucket]:
        own: dict[int, list[Table]] = defaultdict(list)
        for table in network.tables:
            if table.scope:
                own[min(map(self._position.__getitem__, table.scope))].append(table)
        sent: dict[int, list[Sending]] = defaultdict(list)
        for sending in network.sendings:
            sent[min(map(self._position.__getitem__, self._several(sending)))].append(sending)
        arrived: dict[int, list[Message]] = defaultdict(list)
        buckets: list[Bucket] = []
        for step, variable in enumerate(order):
            messages = arrived.pop(step, [])
            level = 1 + max((buckets[message.source].level for message in messages), default=-1)
            sendings = sent.pop(step, [])
            parts = [(own.pop(step, []), messages)]
            if not sendings:
                parts = self._mini_buckets(variable, *parts[0])
            for tables, messages in parts:
                scopes = [table.scope for table in tables] + [message.scope for message in messages]
                scopes += map(self._several, sendings)
                scope = tuple(sorted({variable}.union(*scopes), key=self._position.__getitem__, reverse=True))
                if len(scope) > 1:
                    arrived[self._position[scope[-2]]].append(Message(len(buckets), scope[:-1]))
                buckets.append(Bucket(scope, tables, messages, sendings, level, step, len(parts) > 1))
        return buckets

    def _mini_buckets(
        self, variable: int, tables: list[Table], messages: list[Message]
    ) -> list[tuple[list[Table], list[Message]]]:
        """Divide what a variable occurs in so that no sum is too large; mostly into one part."""
        pieces: list[Table | Message] = [*tables, *messages]
        if self._entries({variable}.union(*(piece.scope for piece in pieces))) <= self._largest:
            return [(tables, messages)]
        parts: list[tuple[set[int], list[Table | Message]]] = []
        for piece in sorted(pieces, key=lambda one: -self._entries(one.scope)):
            joined = [(self._entries(scope.union(piece.scope)), index) for index, (scope, _) in enumerate(parts)]
            entries, index = min(joined, default=(math.inf, 0))
            if entries > self._largest:
                index = len(parts)
                parts.append(({variable}, []))
            parts[index][0].update(piece.scope)
            parts[index][1].append(piece)
        return [
            ([one for one in part if isinstance(one, Table)], [one for one in part if isinstance(one, Message)])
            for _, part in parts
        ]

    def _several(self, sending: Sending) -> tuple[int, ...]:
        """The variables of a tensor that have several states."""
        return tuple(variable for variable in sending.variables if self._sizes[variable] > 1)

    def _entries(self, scope: Iterable[int]) -> float:
        return math.prod(float(self._sizes[variable]) for variable in scope)
