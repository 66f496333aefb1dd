"""The links between servers, as last measured."""

import math
from collections.abc import Callable, Sequence
from itertools import chain

from core.document_store import DocumentStore
from core.documents import dumps, loads
from core.errors import InvalidArgumentError
from core.profiles import MeasuredLink

_KIND = "measured-link"

_CHANGE = 0.1
"""Links are measured all the time; watchers are told where one takes a tenth more or less than before."""


class Network:
    """The newest measurement of every link; those of servers that left are kept, since they may come back.

    Args:
        changed: called when links were reported that are new or take another time than before.
        store: where links outlive this process.
    """

    def __init__(self, changed: Callable[[], None], store: DocumentStore) -> None:
        self._changed = changed
        self._store = store
        stored = (loads(text, MeasuredLink) for _, text in store.list(_KIND))
        self._links = {(link.source, link.target): link for link in stored}

    def report(self, links: Sequence[MeasuredLink]) -> None:
        """Take measurements in, all or none.

        Raises:
            InvalidArgumentError: an end has no name, or a value is not finite.
        """
        for link in links:
            if not (link.source and link.target):
                raise InvalidArgumentError(f"a link from {link.source!r} to {link.target!r} must name both servers")
            numbers = (link.bytes_per_second, link.measured_at, link.spread, *chain.from_iterable(link.knots))
            if not all(map(math.isfinite, numbers)):
                raise InvalidArgumentError(
                    f"link {link.source} → {link.target} has {link.bytes_per_second} bytes/s and takes {link.knots} "
                    "(bytes, seconds); all must be finite"
                )
        with self._store.transaction():
            for link in links:
                self._store.put(_KIND, f"{link.source} → {link.target}", dumps(link))
        changed = [link for link in links if self._matters(link)]
        self._links.update({(link.source, link.target): link for link in links})
        if changed:
            self._changed()

    def _matters(self, link: MeasuredLink) -> bool:
        known = self._links.get((link.source, link.target))
        return known is None or link.differs(known, _CHANGE)

    def links(self) -> tuple[MeasuredLink, ...]:
        """All links, in the order in which they were first reported."""
        return tuple(self._links.values())
