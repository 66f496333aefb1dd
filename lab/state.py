"""What is known of a running lab, in a file, so that every later command finds it, also after a crash."""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core.documents import dumps, loads
from core.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from lab.network import LABS, Network
from lab.topology import Shape, Topology

DIRECTORY = Path("/var/lib/partita-lab")
"""A directory for each lab: its state, its logs, and its services' data."""

Shaping = Literal["tc", "netem", "relay"]
"""By what links are made: ``tc`` with rates alone, ``netem`` for delays too, or the ``relay``."""


@dataclass(frozen=True)
class Change:
    """A link from now on."""

    source: str
    target: str
    shape: Shape


@dataclass(frozen=True)
class Lab:
    """A lab that is up, or on its way up or down.

    Attributes:
        name: at most ten lower-case letters and digits.
        index: which of the machine's labs it is; see ``Network``.
        topology: with the shapes that its links have now.
        shaping: by what links are made; ``None`` as long as that is not known.
    """

    name: str
    index: int
    topology: Topology
    shaping: Shaping | None = None

    @property
    def network(self) -> Network:
        """Its names and addresses."""
        return Network(self.name, self.index, self.topology)

    @property
    def directory(self) -> Path:
        """Where its logs and its services' data are."""
        return directory_of(self.name)

    @property
    def relay_socket(self) -> Path:
        """Where the relay takes changes."""
        return self.directory / "relay.socket"


def check_name(name: str) -> None:
    """Refuse what cannot be part of the names of interfaces.

    Raises:
        InvalidArgumentError: it has other characters, or too many.
    """
    if not re.fullmatch(r"[a-z0-9]{1,10}", name):
        raise InvalidArgumentError(f"{name!r} cannot be a lab's name; take at most ten lower-case letters and digits")


def directory_of(name: str) -> Path:
    """The directory of a lab, whether there is one or not."""
    return DIRECTORY / name


def names() -> list[str]:
    """All labs that left a state."""
    return sorted(path.parent.name for path in DIRECTORY.glob("*/state.json"))


def load(name: str) -> Lab:
    """Read a lab's state.

    Raises:
        NotFoundError: there is no such lab.
    """
    path = directory_of(name) / "state.json"
    if not path.exists():
        raise NotFoundError(f"no lab {name!r} is up; start it with `partita lab up TOPOLOGY`")
    return loads(path.read_text(encoding="utf-8"), Lab)


def reserve(name: str, topology: Topology) -> Lab:
    """Begin a lab: take a free index for it.

    Raises:
        FailedPreconditionError: a lab of this name is there, or too many are.
    """
    with _locked():
        if (directory_of(name) / "state.json").exists():
            raise FailedPreconditionError(
                f"a lab {name!r} is up already; `partita lab down --name {name}` ends it, and --name names another"
            )
        taken = {load(other).index for other in names()}
        free = [index for index in range(LABS) if index not in taken]
        if not free:
            raise FailedPreconditionError(f"{LABS} labs are up; end some with `partita lab down --all`")
        lab = Lab(name, free[0], topology)
        lab.directory.mkdir(parents=True, exist_ok=True)
        _write(lab)
    return lab


def set_shaping(name: str, shaping: Shaping) -> Lab:
    """Note by what links are made."""
    with _locked():
        lab = replace(load(name), shaping=shaping)
        _write(lab)
    return lab


def set_shape(name: str, change: Change) -> Lab:
    """Note a link's new shape."""
    with _locked():
        lab = load(name)
        links = tuple(
            replace(link, shape=change.shape) if (link.source, link.target) == (change.source, change.target) else link
            for link in lab.topology.links
        )
        lab = replace(lab, topology=replace(lab.topology, links=links))
        _write(lab)
    return lab


def forget(name: str) -> None:
    """Remove a lab's directory."""
    shutil.rmtree(directory_of(name), ignore_errors=True)


def _write(lab: Lab) -> None:
    path = lab.directory / "state.json"
    made = path.with_suffix(".new")
    made.write_text(dumps(lab, indent=1), encoding="utf-8")
    made.replace(path)


@contextmanager
def _locked() -> Iterator[None]:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with (DIRECTORY / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
