"""Raw results, a JSON file for each step, so that a run that was interrupted goes on where it was."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from core.documents import dumps, loads
from core.errors import InvalidArgumentError, InvalidDocumentError

T = TypeVar("T")


@dataclass(frozen=True)
class Identity:
    """What a directory's results belong to.

    Attributes:
        sizes: label of the sizes.
        models: model names → SHA-256 of their files.
        testbed: how links are made.
        processor: of the machine, in words.
        parameters: the sizes in full, as text.
        format: of the files.
    """

    sizes: str
    models: tuple[str, ...]
    testbed: str
    processor: str
    parameters: str
    format: str = "partita/thesis@1"


class RawStore:
    """The files of a directory. Each is there whole or not at all, whenever the process or the machine dies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, step: str) -> Path:
        """Where a step's result is."""
        return self._directory / f"{step}.json"

    def has(self, step: str) -> bool:
        """Whether a step is done."""
        return self.path(step).exists()

    def steps(self) -> list[str]:
        """All steps that are done, sorted."""
        return sorted(path.stem for path in self._directory.glob("*.json"))

    def read(self, step: str, kind: type[T]) -> T:
        """A step's result.

        Raises:
            InvalidDocumentError: it is not what this version of Partita writes.
        """
        path = self.path(step)
        try:
            return loads(path.read_bytes(), kind)
        except InvalidDocumentError as error:
            raise InvalidDocumentError(f"{path}: {error}; remove it to have it measured anew") from None

    def write(self, step: str, result: object) -> None:
        """Keep a step's result."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self.path(step)
        made = path.with_suffix(".new")
        with made.open("w", encoding="utf-8") as file:
            file.write(dumps(result, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)

    def forget(self, step: str) -> None:
        """Have a step measured anew."""
        self.path(step).unlink(missing_ok=True)

    async def step(self, step: str, kind: type[T], make: Callable[[], Awaitable[T]]) -> T:
        """A step's result: as it was measured before, else measured now and kept."""
        if self.has(step):
            return self.read(step, kind)
        result = await make()
        self.write(step, result)
        return result

    def claim(self, identity: Identity, resume: bool) -> None:
        """Begin in this directory, or go on there; what it holds is removed where the run does not ``resume``.

        Raises:
            InvalidArgumentError: it holds the results of another run.
        """
        if not resume:
            for path in self._directory.glob("*.json"):
                path.unlink()
        if not self.has("identity"):
            self.write("identity", identity)
            return
        found = self.read("identity", Identity)
        for field in ("format", "sizes", "models", "testbed", "processor", "parameters"):
            before, now = getattr(found, field), getattr(identity, field)
            if before != now:
                raise InvalidArgumentError(
                    f"{self._directory} holds results of another run: {field} was {before!r} and is {now!r} now; "
                    "name another directory, or --no-resume to begin anew"
                )
