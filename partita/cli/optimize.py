"""``partita optimize``: planning without a cluster."""

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from core.errors import InvalidDocumentError
from partita.cli.fronts import Csv, Pareto, PlanOrFront, PlanOrFrontPicture, check_front_options, finish_front
from partita.cli.main import INTERRUPTED
from partita.cli.options import AsJson, EnergyWeight, Goal, LatencyWeight, Method, Solver
from partita.cli.output import progress_bar
from partita.cli.plans import finish

if TYPE_CHECKING:
    from core.front import Front
    from core.objective import SolverOptions
    from core.plan import Plan
    from core.problem import Problem
    from core.progress import Progress

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(optimize)


def optimize(
    file: Annotated[Path, typer.Argument(metavar="PROBLEM.json", help="A file in the format partita/problem@1.")],
    output: PlanOrFront = None,
    goal: Goal = None,
    latency_weight: LatencyWeight = None,
    energy_weight: EnergyWeight = None,
    pareto: Pareto = None,
    method: Method = "exact",
    solver: Solver = "highs",
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="When to stop; the best plan so far has its true gap.")
    ] = None,
    picture: PlanOrFrontPicture = None,
    csv: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Plan without a cluster. Goal and weights, where given, replace the file's.

    Ctrl-C ends the search with the best plan so far and its true gap; pressed again, without a plan.

    Exit code 0 for a plan, 3 for an infeasible problem, 2 for a bad file, 130 after Ctrl-C.
    """
    from core.documents import loads
    from core.objective import SolverOptions
    from core.problem import Problem

    check_front_options(pareto, goal, latency_weight, energy_weight, csv)
    try:
        problem = loads(file.read_bytes(), Problem)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"{file}: {error}") from None
    options = SolverOptions(solver, time_limit, method)
    stopped = multiprocessing.get_context("spawn").Event()
    with progress_bar("optimize") as progress:
        if pareto is not None:
            front = asyncio.run(_apart(_front, problem, pareto, options, stopped=stopped, progress=progress))
        else:
            problem = _aimed(problem, goal, latency_weight, energy_weight)
            plan = asyncio.run(_apart(_plan, problem, options, stopped=stopped, progress=progress))
    if pareto is not None:
        finish_front(front, output, picture, csv, as_json)
    else:
        finish(plan, problem, output, picture, as_json)
    if stopped.is_set():
        raise typer.Exit(INTERRUPTED)


def _aimed(
    problem: "Problem", goal: str | None, latency_weight: float | None, energy_weight: float | None
) -> "Problem":
    """The problem with the objective that the options name."""
    from dataclasses import replace

    from services.convert import objective

    return replace(problem, objective=objective(goal or "", latency_weight, energy_weight, problem.objective))


async def _apart(function: Callable[..., T], *arguments: Any, stopped: Event, progress: "Progress") -> T:
    """Solve in a process of its own, which a first Ctrl-C asks to come to an end, and a second one ends.

    Args:
        stopped: set by the first.
    """
    from services.runtime.worker import run_in_process

    # The terminal sends Ctrl-C to the new process too, which must not die of it while it is being fed: threads and
    # processes that start now have the signal blocked. (Starting the tracker would unblock it.)
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    solving = asyncio.create_task(run_in_process(function, *arguments, progress=progress, inherited=(stopped,)))

    def interrupt() -> None:
        if stopped.is_set():
            solving.cancel()
        stopped.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
    await asyncio.sleep(0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        return await solving
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


# What they need is imported in the new process only: a solver's modules take long and swallow Ctrl-C.


def _plan(problem: "Problem", options: "SolverOptions", stopped: Event, progress: "Progress") -> "Plan":
    from optimizer.plan import make_plan

    return make_plan(problem, options, progress, stopped.is_set)


def _front(
    problem: "Problem", most_points: int, options: "SolverOptions", stopped: Event, progress: "Progress"
) -> "Front":
    from optimizer.pareto import make_front

    return make_front(problem, most_points, options, progress, stopped.is_set)
