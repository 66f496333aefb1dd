"""What ``partita plan --pareto`` and ``partita optimize --pareto`` have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InfeasiblePlanError, InvalidArgumentError
from partita.cli.output import out, print_json, write_json

if TYPE_CHECKING:
    from core.front import Front

Pareto = Annotated[
    int | None,
    typer.Option(
        "--pareto",
        min=2,
        metavar="N",
        help="Instead of one plan, the front of summed latency against energy: at most N plans, each the best for "
        "a range of weights, and the knee among them.",
    ),
]
Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE.csv", help="Write the front, a row a plan.", dir_okay=False)
]
PlanOrFront = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE.json", help="Write the plan, or the front.", dir_okay=False),
]
PlanOrFrontPicture = Annotated[
    Path | None,
    typer.Option("--picture", metavar="FILE.png", help="Draw the plan's components, or the front.", dir_okay=False),
]


def check_front_options(
    pareto: int | None, goal: str | None, latency_weight: float | None, energy_weight: float | None, csv: Path | None
) -> None:
    """Refuse options that mean nothing beside ``--pareto``, or nothing without it.

    Raises:
        InvalidArgumentError: there is one.
    """
    if pareto is None and csv is not None:
        raise InvalidArgumentError("--csv writes a front: give --pareto N too; for one plan there is --output")
    if pareto is not None and (goal, latency_weight, energy_weight) != (None, None, None):
        raise InvalidArgumentError(
            "--pareto is for all weights: leave out --goal, --latency-weight and --energy-weight"
        )


def finish_front(front: "Front", output: Path | None, picture: Path | None, csv: Path | None, as_json: bool) -> None:
    """Show a front and write the files that were asked for; an infeasible one ends the command with its error.

    Raises:
        InfeasiblePlanError: the front is infeasible.
    """
    if output is not None:
        write_json(front, output)
    if as_json:
        print_json(front)
    if front.status == "infeasible":
        raise InfeasiblePlanError(f"no plan meets the limits: {front.reason}")
    if picture is not None:
        from partita.pareto_picture import draw_front

        draw_front(front, picture)
    if csv is not None:
        from partita.front_csv import write_front_csv

        write_front_csv(front, csv)
    if not as_json:
        from partita.cli.front_table import front_view

        out.print(front_view(front))
