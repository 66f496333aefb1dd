"""Plans and fronts shown inline, as pictures and tables, where a notebook or IPython runs.

``import partita`` sees to it; nothing of this is imported elsewhere.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from rich.console import Console, RenderableType

from core.front import Front
from core.plan import Plan

WIDTH = 160
"""Columns of tables in a notebook."""


def show_inline(shell: Any) -> None:
    """Have an IPython shell show plans and fronts as a picture, and as text where it cannot show pictures."""
    formatters = shell.display_formatter.formatters
    for kind, picture, text in ((Plan, plan_picture, plan_text), (Front, front_picture, front_text)):
        formatters["image/png"].for_type(kind, picture)
        formatters["text/plain"].for_type(kind, lambda value, printer, _, text=text: printer.text(text(value)))


def plan_picture(plan: Plan) -> bytes | None:
    """The plan's component graph as a PNG; ``None`` where there is nothing to draw, or nothing to draw it with."""
    try:
        from partita.pictures import draw_plan
    except ImportError:
        return None
    return _drawn(lambda file: draw_plan(plan, file)) if plan.components else None


def front_picture(front: Front) -> bytes | None:
    """The front as a PNG; ``None`` as for plans."""
    try:
        from partita.pareto_picture import draw_front
    except ImportError:
        return None
    return _drawn(lambda file: draw_front(front, file)) if front.points else None


def plan_text(plan: Plan) -> str:
    """The plan as ``partita plan`` prints it."""
    from partita.cli.plan_table import plan_view

    return _printed(plan_view(plan))


def front_text(front: Front) -> str:
    """The front as ``partita optimize --pareto`` prints it."""
    from partita.cli.front_table import front_view

    return _printed(front_view(front))


def _drawn(draw: Callable[[BytesIO], None]) -> bytes:
    file = BytesIO()
    draw(file)
    return file.getvalue()


def _printed(view: RenderableType) -> str:
    console = Console(width=WIDTH, file=None)
    with console.capture() as captured:
        console.print(view)
    return captured.get()
