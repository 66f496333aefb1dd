"""What is measured: which problems, by which methods."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from bench.planning.generator import branched, chain
from bench.planning.yolo import yolo
from core.documents import loads
from core.errors import InvalidDocumentError
from core.problem import Problem

Method = Literal["exact", "ilp", "literal"]
"""``exact``: the Optimizer's own; ``ilp``: its tight integer program; ``literal``: the thesis's program."""

BOTH: tuple[Method, ...] = ("exact", "ilp")
ALL: tuple[Method, ...] = ("exact", "ilp", "literal")

Figure = Literal["literal_6_servers", "650x3_int8", "5000x32"]


@dataclass(frozen=True)
class Case:
    """A problem and the methods that plan it.

    Attributes:
        name: for people.
        make: makes the problem; called in the process that plans, so it must be picklable.
        methods: which are measured.
        figure: which of the bench's headline figures the case counts for.
    """

    name: str
    make: Callable[[], Problem]
    methods: tuple[Method, ...]
    figure: Figure | None = None


def standard_cases() -> list[Case]:
    """The cases of the record, those with the literal program last: it takes minutes, so only few have it."""
    chains = [(1000, 3), (1850, 3)]
    models = [(layers, servers) for layers in (700, 1000, 1850) for servers in (2, 3, 4, 5, 6)]
    return [
        *(Case(f"chain {layers} × {servers}", partial(chain, layers, servers), BOTH) for layers, servers in chains),
        *(
            Case(f"branched {layers} × {servers}", partial(branched, layers, servers), BOTH)
            for layers, servers in models
            if (layers, servers) not in ((700, 3), (700, 6))
        ),
        Case("chain 5000 × 32", partial(chain, 5000, 32), ("exact",), "5000x32"),
        Case("branched 1500 × 16", partial(branched, 1500, 16), ("exact",)),
        Case("branched 5000 × 8", partial(branched, 5000, 8), ("exact",)),
        Case("YOLO-like × 3, int8, loose cap", partial(yolo, device_energy_limit=6.0), BOTH, "650x3_int8"),
        Case("YOLO-like × 3, int8, tight cap", yolo, ALL, "650x3_int8"),
        Case("chain 500 × 3", partial(chain, 500, 3), ALL),
        Case("branched 700 × 3", partial(branched, 700, 3), ALL),
        Case("branched 700 × 6", partial(branched, 700, 6), ALL, "literal_6_servers"),
    ]


def quick_cases() -> list[Case]:
    """Small problems of every kind, for trying the bench itself; none counts for a headline figure."""
    return [
        Case("chain 30 × 3", partial(chain, 30, 3), ALL),
        Case("branched 60 × 3", partial(branched, 60, 3), ALL),
        Case("branched 60 × 8", partial(branched, 60, 8), ("exact",)),
        Case("YOLO-like × 3, int8", partial(yolo, quantizable=3, repeats=0), BOTH),
    ]


def file_case(path: Path) -> Case:
    """A problem file as a case.

    Raises:
        InvalidDocumentError: the file is not a problem.
        OSError: the file cannot be read.
    """
    read_problem(path)
    return Case(path.name, partial(read_problem, path), BOTH)


def read_problem(path: Path) -> Problem:
    """Read a problem file.

    Raises:
        InvalidDocumentError: the file is not a problem; the message begins with its path.
        OSError: the file cannot be read.
    """
    try:
        return loads(path.read_bytes(), Problem)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"{path}: {error}") from None
