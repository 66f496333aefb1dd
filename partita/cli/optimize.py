"""``partita optimize``: planning without a cluster."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from core.errors import InvalidDocumentError
from partita.cli.options import AsJson, Picture
from partita.cli.output import progress_bar
from partita.cli.plans import finish


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(optimize)


def optimize(
    file: Annotated[Path, typer.Argument(metavar="PROBLEM.json", help="A file in the format partita/problem@1.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PLAN.json", help="Write the plan file.", dir_okay=False)
    ] = None,
    solver: Annotated[Literal["highs", "cbc", "cplex"], typer.Option(help="Which solver.")] = "highs",
    method: Annotated[Literal["ilp"], typer.Option(help="ilp: as an integer program.")] = "ilp",  # noqa: ARG001
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="When to stop; the best plan so far has its true gap.")
    ] = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Plan without a cluster. Exit code 0 for a plan, 3 for an infeasible problem, 2 for a bad file."""
    from core.documents import loads
    from core.problem import Problem, SolverOptions
    from optimizer.plan import make_plan
    from services.runtime.worker import run_in_process

    try:
        problem = loads(file.read_bytes(), Problem)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"{file}: {error}") from None
    options = SolverOptions(solver, time_limit)
    with progress_bar("optimize") as progress:
        # In a process of its own: a solver cannot be interrupted, but it can be ended.
        plan = asyncio.run(run_in_process(make_plan, problem, options, progress=progress))
    finish(plan, problem, output, picture, as_json)
