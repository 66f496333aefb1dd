"""The links between servers, as last measured."""

import math
from collections.abc import Callable, Sequence

from core.document_store import DocumentStore
from core.documents import dumps, loads
from core.errors import InvalidArgumentError
from core.problem import Link


class Network:
    """The newest measurement of every link; those of servers that left are kept, since they may come back.

    Args:
        changed: called when links were reported.
        store: where links outlive this process.
    """

    def __init__(self, changed: Callable[[], None], store: DocumentStore) -> None:
        self._changed = changed
        self._store = store
        stored = (loads(text, Link) for _, text in store.list("link"))
        self._links = {(link.source, link.target): link for link in stored}

    def report(self, links: Sequence[Link]) -> None:
        """Take measurements in, all or none.

        Raises:
            InvalidArgumentError: an end has no name, or a value is not finite.
        """
        for link in links:
            if not (link.source and link.target):
                raise InvalidArgumentError(f"a link from {link.source!r} to {link.target!r} must name both servers")
            if not (math.isfinite(link.bytes_per_second) and math.isfinite(link.rtt_seconds)):
                raise InvalidArgumentError(
                    f"link {link.source} → {link.target} has {link.bytes_per_second} bytes/s and a round trip of "
                    f"{link.rtt_seconds} s; both must be finite"
                )
        for link in links:
            self._store.put("link", f"{link.source} → {link.target}", dumps(link))
            self._links[link.source, link.target] = link
        if links:
            self._changed()

    def links(self) -> tuple[Link, ...]:
        """All links, in the order in which they were first reported."""
        return tuple(self._links.values())
