"""``partita optimize``: planning without a cluster."""

import asyncio
import signal
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.errors import InvalidDocumentError
from partita.cli.options import AsJson, Picture
from partita.cli.output import progress_bar
from partita.cli.plans import finish

if TYPE_CHECKING:
    from core.plan import Plan
    from core.problem import Problem, SolverOptions
    from core.progress import Progress


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

    try:
        problem = loads(file.read_bytes(), Problem)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"{file}: {error}") from None
    options = SolverOptions(solver, time_limit)
    with progress_bar("optimize") as progress:
        plan = asyncio.run(_solve_apart(problem, options, progress))
    finish(plan, problem, output, picture, as_json)


async def _solve_apart(problem: "Problem", options: "SolverOptions", progress: "Progress") -> "Plan":
    """Solve in a process of its own: a solver cannot be interrupted, but it can be ended."""
    from services.runtime.worker import run_in_process

    # The terminal sends Ctrl-C to the new process too, which must not die of it while it is being fed: threads and
    # processes that start now have the signal blocked. (Starting the tracker would unblock it.)
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    solving = asyncio.create_task(run_in_process(_solve, problem, options, progress=progress))
    await asyncio.sleep(0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return await solving


def _solve(problem: "Problem", options: "SolverOptions", progress: "Progress") -> "Plan":
    # Imported in the new process only: a solver's modules take long and swallow Ctrl-C.
    from optimizer.plan import make_plan

    return make_plan(problem, options, progress)
