"""Options that several commands share, and the text forms of their values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from core.errors import InvalidArgumentError

DEFAULT_ADDRESS = "127.0.0.1:50051"

T = TypeVar("T")

Address = Annotated[
    str, typer.Option("--address", envvar="PARTITA_ADDRESS", metavar="HOST:PORT", help="Where the Deployer is.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Picture = Annotated[
    Path | None, typer.Option("--picture", metavar="FILE.png", help="Draw the plan's component graph.", dir_okay=False)
]
Goal = Annotated[
    Literal["latency-sum", "latency", "throughput", "energy"] | None,
    typer.Option(
        "--goal",
        help="What the latency weight weighs: latency-sum: all computing and sending added up; latency: until the last "
        "output when servers work side by side; throughput: time between answers when requests fill the pipeline. "
        "Or energy: that alone.",
        show_default=False,
    ),
]
LatencyWeight = Annotated[
    float | None, typer.Option("--latency-weight", min=0, max=1, help="Default: 1 − energy weight.", show_default=False)
]
EnergyWeight = Annotated[
    float | None, typer.Option("--energy-weight", min=0, max=1, help="Default: 1 − latency weight.", show_default=False)
]
Method = Annotated[
    Literal["exact", "ilp"],
    typer.Option(
        "--method", help="exact: by elimination, and an integer program where that is too large; ilp: that alone."
    ),
]
Solver = Annotated[Literal["highs", "cbc", "cplex"], typer.Option("--solver", help="Of integer programs.")]
Quantizable = Annotated[
    int | None,
    typer.Option("--quantizable", min=0, metavar="N", help="How many of the heaviest layers may become int8."),
]
Wire = Annotated[
    int | None,
    typer.Option("--wire", min=0, metavar="N", help="How many tensors may cross in int8 where all computing is float."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", help="Layers that must stay float (shell wildcards); repeatable."),
]
NoiseSamples = Annotated[
    int | None,
    typer.Option("--noise-samples", min=0, metavar="N", help="Most sets of int8 layers that noise is measured on."),
]
NoiseMeasure = Annotated[
    str | None,
    typer.Option(
        "--noise-measure",
        metavar="NAME",
        help="mean-absolute-difference, top-1-agreement, detection-agreement, or module:function where the "
        "ModelProfiler allows the module.",
    ),
]
Calibration = Annotated[
    Literal["min-max", "percentile", "entropy"] | None,
    typer.Option("--calibration", help="How ranges of int8 layers follow from the samples.", show_default=False),
]
Timing = Annotated[
    Literal["profiler", "layer-by-layer"] | None,
    typer.Option("--timing", help="Time layers inside the whole model, or each alone.", show_default=False),
]
ActivationType = Annotated[
    Literal["uint8", "int8"] | None,
    typer.Option("--activation-type", help="Of int8 layers' inputs and outputs.", show_default=False),
]
PerChannel = Annotated[
    bool | None,
    typer.Option("--per-channel/--per-tensor", help="Scales of int8 weights.", show_default=False),
]


def pairs(texts: Sequence[str] | None, option: str, example: str) -> dict[str, str]:
    """Values of the form ``key=value`` of a repeatable option; the last ``=`` divides.

    Raises:
        InvalidArgumentError: a value has another form.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.rpartition("=")
        if not equals or not key or not value:
            raise InvalidArgumentError(f"{option} {text!r} has not the form {example}")
        found[key] = value
    return found


def shape(text: str) -> tuple[int, ...]:
    """Read ``1x3x640x640``.

    Raises:
        InvalidArgumentError: it has another form.
    """
    try:
        dimensions = tuple(int(part) for part in text.replace(",", "x").split("x"))
    except ValueError:
        dimensions = (-1,)
    if min(dimensions) < 1:
        raise InvalidArgumentError(f"shape {text!r} is not of the form 1x3x640x640")
    return dimensions


_SUFFIXES = {"GB": 1e9, "MB": 1e6, "KB": 1e3, "GIB": 2**30, "MIB": 2**20, "KIB": 2**10, "B": 1, "": 1}


def byte_size(text: str) -> int:
    """Read a number of bytes, for example ``250000``, ``1.5MB`` or ``2GiB``.

    Raises:
        InvalidArgumentError: it has another form.
    """
    number = text.strip().rstrip("KMGiBkmgb ")
    suffix = text.strip()[len(number) :].strip().upper()
    try:
        value = float(number) * _SUFFIXES[suffix]
        return int(value) if value >= 0 else int("negative")
    except (ValueError, KeyError, OverflowError):
        raise InvalidArgumentError(f"size {text!r} is not a number of bytes such as 250000, 1.5MB or 2GiB") from None


def given(**options: object) -> dict[str, object]:
    """Only the options that were given: those that are neither ``None`` nor empty."""
    return {name: value for name, value in options.items() if value is not None and value not in ([], {}, ())}
