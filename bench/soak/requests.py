"""Requests in flight, and how each ended."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.soak.model import Item, equal
from core.errors import PartitaError
from core.tensors import Array

PAUSE_SECONDS = 0.1
"""Rest of a caller whose request failed."""

Infer = Callable[[Mapping[str, Array], float], Awaitable[Mapping[str, Array]]]
"""Sends inputs, with seconds until the deadline, and returns outputs."""


@dataclass
class Endings:
    """How requests ended.

    Attributes:
        answers: that were the whole model's.
        wrong: answers that were not.
        typed_errors: by name.
        examples: typed error → the last one's message.
        untyped_errors: errors that are not Partita's, by what they say.
        unanswered: requests that had not ended a while after their deadline.
        slowest_seconds: of all that ended.
        longest_gap_seconds: the longest time without an answer.
        last_answers: caller → when it was answered last, by ``time.monotonic``.
    """

    answers: int = 0
    wrong: int = 0
    typed_errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    untyped_errors: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    slowest_seconds: float = 0.0
    longest_gap_seconds: float = 0.0
    last_answers: dict[int, float] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """All of them."""
        return self.answers + self.wrong + self.failures + self.unanswered

    @property
    def failures(self) -> int:
        """Those that ended in an error."""
        return self.typed_errors.total() + self.untyped_errors.total()

    def answered(self, caller: int) -> None:
        """Count an answer."""
        now = time.monotonic()
        if self.last_answers:
            self.longest_gap_seconds = max(self.longest_gap_seconds, now - max(self.last_answers.values()))
        self.last_answers[caller] = now
        self.answers += 1


async def call_on(
    infer: Infer, items: Sequence[Item], caller: int, endings: Endings, deadline_seconds: float, grace_seconds: float
) -> None:
    """Send one request after the other, until cancelled; how each ended is added to ``endings``."""
    choice = random.Random(caller)  # noqa: S311 - nothing secret
    while True:
        item = choice.choice(items)
        start = time.monotonic()
        try:
            async with asyncio.timeout(deadline_seconds + grace_seconds):
                outputs = await infer(item.inputs, deadline_seconds)
        except TimeoutError:
            endings.unanswered += 1
        except PartitaError as error:
            endings.typed_errors[type(error).__name__] += 1
            endings.examples[type(error).__name__] = str(error)
            await asyncio.sleep(PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001 - none may come: these are what is looked for
            endings.untyped_errors[f"{type(error).__name__}: {error}"] += 1
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            if equal(outputs, item.outputs):
                endings.answered(caller)
            else:
                endings.wrong += 1
        endings.slowest_seconds = max(endings.slowest_seconds, time.monotonic() - start)
