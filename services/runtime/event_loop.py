"""An event loop whose timers are exact to some microseconds, for emulated links of a few milliseconds.

``epoll`` waits for whole milliseconds, so that each wait of a transfer would end up to one too late.
"""

import asyncio
import select
import selectors

_SELECT_LIMIT = 1024
"""``select`` takes no file descriptors from this one on."""


def exact_event_loop() -> asyncio.AbstractEventLoop:
    """A new event loop with exact timers; the system's own where it has no ``epoll``."""
    if not hasattr(selectors, "EpollSelector"):
        return asyncio.new_event_loop()

    class ExactSelector(selectors.EpollSelector):
        """Waits by ``select`` until the epoll has something, then asks it what."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0 and self.fileno() < _SELECT_LIMIT:
                select.select([self], [], [], timeout)
                timeout = 0
            return super().select(timeout)

    return asyncio.SelectorEventLoop(ExactSelector())
