"""What moves from one plan to another."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.errors import InvalidArgumentError
from core.plan import Plan
from partita import units
from partita.cli.output import table

SHOWN = 3
"""So many layers of a group are named; the rest is counted."""


def plan_difference(first: Plan, second: Plan) -> RenderableType:
    """Layers that change their server, layers that change their precision, and both plans' promises side by side.

    Raises:
        InvalidArgumentError: the plans place different layers, or one of them places none.
    """
    if not first.placement or first.placement.keys() != second.placement.keys():
        raise InvalidArgumentError(
            f"plans of {first.model!r} ({first.status}) and {second.model!r} ({second.status}) do not place the same "
            "layers; compare two feasible plans of one model"
        )
    return Group(_promises(first, second), Text(), *_moves(first, second), *_precisions(first, second))


def _moves(first: Plan, second: Plan) -> Iterable[Text]:
    moved: dict[tuple[str, str], list[str]] = defaultdict(list)
    for layer, server in first.placement.items():
        if second.placement[layer] != server:
            moved[server, second.placement[layer]].append(layer)
    for (source, target), layers in moved.items():
        yield Text(f"{source} → {target}: {_named(layers)}")
    if not moved:
        yield Text("every layer stays where it is")


def _precisions(first: Plan, second: Plan) -> Iterable[Text]:
    before, after = set(first.quantized), set(second.quantized)
    for words, layers in (("becomes int8", after - before), ("is no longer int8", before - after)):
        if layers:
            yield Text(f"{words}: {_named([layer for layer in first.placement if layer in layers])}")


def _named(layers: list[str]) -> str:
    rest = f" and {len(layers) - SHOWN} more" if len(layers) > SHOWN else ""
    return f"{len(layers)} layer{'s' * (len(layers) > 1)}: {', '.join(layers[:SHOWN])}{rest}"


def _promises(first: Plan, second: Plan) -> Table:
    shown = table("", *(f">{plan.id or name}" for name, plan in (("first", first), ("second", second))), ">change")
    for (name, before, text), (_, after, _) in zip(_figures(first), _figures(second), strict=True):
        change = f"{after / before - 1:+.1%}" if before and after is not None else ""
        shown.add_row(name, *("–" if one is None else text(one) for one in (before, after)), change)
    return shown


def _figures(plan: Plan) -> Iterable[tuple[str, float | None, Callable[[float], str]]]:
    predicted, parallel = plan.predicted, plan.parallel
    yield "summed latency", predicted.latency_seconds if predicted else None, units.seconds
    yield "latency", parallel.latency_seconds if parallel else None, units.seconds
    yield "time between answers", parallel.seconds_per_request if parallel else None, units.seconds
    yield "energy", predicted.energy_joules if predicted else None, units.joules
    yield "device energy", predicted.device_energy_joules if predicted else None, units.joules
    yield "noise", predicted.noise if predicted else None, "{:.3g}".format
    yield "components", sum(1 for component in plan.components if component.layers), "{:.0f}".format
    yield "int8 layers", len(plan.quantized), "{:.0f}".format
