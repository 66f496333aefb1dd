"""Running a PuLP program with HiGHS, CBC or CPLEX, and reading honestly how it ended.

Every solver runs on one thread with a fixed seed, and stops only when the gap is closed or the time is up.
"""

import math
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import highspy
import numpy as np
import pulp

from core.errors import InternalError, InvalidArgumentError
from optimizer.clock import never

ABSOLUTE_GAP = 1e-6
"""Gap at which a scaled program counts as solved; its goal is of the order of 1000."""

INTEGRALITY = 1e-9
"""How far from 0 or 1 a binary may be."""

LEAST_SECONDS = 0.01

STOPPED = ("Time limit reached", "Interrupted by user")
"""How HiGHS ends before it is done."""

FINE = ("Optimal", "Empty", *STOPPED)
"""How HiGHS ends when it has not failed and the program is feasible."""

DOUBTING_SECONDS = 1.0
"""How long at least a program is searched again that was called infeasible."""


@dataclass(frozen=True)
class Result:
    """How a solver ended; the values are in the program's variables.

    Attributes:
        has_values: whether an integer solution was found.
        lower_bound: proven bound on the objective.
    """

    status: Literal["optimal", "stopped", "infeasible"]
    has_values: bool
    lower_bound: float


def solve(
    program: pulp.LpProblem,
    solver: str,
    seconds: float | None,
    start: Mapping[pulp.LpVariable, float],
    stopped: Callable[[], bool] = never,
) -> Result:
    """Minimise a program.

    Args:
        solver: ``highs``, ``cbc`` or ``cplex``.
        seconds: time limit; ``None`` runs until proven.
        start: values of the integer variables in some feasible solution; used by HiGHS, may be empty.
        stopped: asked now and then whether to end at once; by HiGHS only.

    Raises:
        InvalidArgumentError: the solver is not installed, or its edition refuses a program of this size.
        InternalError: the solver failed.
    """
    limit = None if seconds is None else max(seconds, LEAST_SECONDS)
    if solver == "cbc":
        return _solve_with_cbc(program, limit)
    if solver == "cplex":
        return _solve_with_cplex(program, limit)
    return _solve_with_highs(program, limit, start, stopped)


class _StartedHiGHS(pulp.HiGHS):  # type: ignore[misc]
    """PuLP's HiGHS, begun from a known solution, and with all integer columns declared at once.

    PuLP declares them one by one, each time at the cost of a pass over all columns.
    """

    def __init__(self, start: Mapping[pulp.LpVariable, float], stopped: Callable[[], bool], **options: Any) -> None:
        super().__init__(**options)
        self._start = start
        self._stopped = stopped

    def buildSolverModel(self, lp: pulp.LpProblem) -> None:  # noqa: N802
        self.mip = False
        super().buildSolverModel(lp)
        self.mip = True
        columns = [variable.index for variable in lp.variables() if variable.cat == pulp.LpInteger]
        kinds = np.full(len(columns), highspy.HighsVarType.kInteger.value, dtype=np.uint8)
        lp.solverModel.changeColsIntegrality(len(columns), np.array(columns, dtype=np.int32), kinds)

    def callSolver(self, lp: pulp.LpProblem) -> None:  # noqa: N802
        known = {variable.index: value for variable, value in self._start.items()}
        if known:
            lp.solverModel.setSolution(len(known), list(known), list(known.values()))
        lp.solverModel.cbMipInterrupt += self._interrupt
        super().callSolver(lp)

    def _interrupt(self, event: Any) -> None:
        if self._stopped():
            event.interrupt()


def _solve_with_highs(
    program: pulp.LpProblem, seconds: float | None, start: Mapping[pulp.LpVariable, float], stopped: Callable[[], bool]
) -> Result:
    begin = time.perf_counter()
    status = _run_highs(program, seconds, start, stopped, "choose")
    if status not in FINE:
        # HiGHS 1.15.1's presolve fails on some small feasible programs, or calls them infeasible: look once more,
        # for a time, without it.
        limit = DOUBTING_SECONDS + 10 * (time.perf_counter() - begin)
        doubted = _run_highs(program, limit if seconds is None else min(seconds, limit), start, stopped, "off")
        if math.isfinite(program.solverModel.getInfo().objective_function_value) and doubted in FINE:
            status = doubted
    if status == "Infeasible":
        return Result("infeasible", False, math.inf)
    if status not in FINE:
        raise InternalError(f"HiGHS ended with the status {status!r}; try another solver")
    information = program.solverModel.getInfo()
    optimal = status not in STOPPED
    has_values = optimal or math.isfinite(information.objective_function_value)
    return Result("optimal" if optimal else "stopped", has_values, information.mip_dual_bound)


def _run_highs(
    program: pulp.LpProblem,
    seconds: float | None,
    start: Mapping[pulp.LpVariable, float],
    stopped: Callable[[], bool],
    presolve: str,
) -> str:
    program.solve(
        _StartedHiGHS(
            start,
            stopped,
            msg=False,
            gapRel=0.0,
            gapAbs=ABSOLUTE_GAP,
            threads=1,
            timeLimit=seconds,
            random_seed=0,
            mip_feasibility_tolerance=INTEGRALITY,
            presolve=presolve,
        )
    )
    model = program.solverModel
    return str(model.modelStatusToString(model.getModelStatus()))


def _solve_with_cbc(program: pulp.LpProblem, seconds: float | None) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "cbc.log")
        path = pulp.PULP_CBC_CMD.pulp_cbc_path
        if not Path(path).exists():
            raise InvalidArgumentError("PuLP brings no CBC for this machine; use the solver highs")
        options = ["randomSeed 1", "randomCbcSeed 1", f"integerTolerance {INTEGRALITY:g}"]
        command = pulp.COIN_CMD(
            path=path, msg=False, timeLimit=seconds, gapRel=0.0, threads=1, logPath=str(log), options=options
        )
        command.tmpDir = folder
        program.solve(command)
        text = log.read_text()
    if program.status == pulp.LpStatusInfeasible:
        return Result("infeasible", False, math.inf)
    # PuLP calls a run that the time limit stopped "Optimal"; only the solution status tells them apart.
    if program.sol_status == pulp.LpSolutionOptimal:
        return Result("optimal", True, pulp.value(program.objective) or 0.0)
    bound = re.search(r"^Lower bound:\s+(\S+)", text, re.MULTILINE)
    has_values = program.sol_status == pulp.LpSolutionIntegerFeasible
    return Result("stopped", has_values, float(bound[1]) if bound else -math.inf)


def _solve_with_cplex(program: pulp.LpProblem, seconds: float | None) -> Result:
    try:
        import cplex  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InvalidArgumentError(
            "the solver cplex is not installed; install it with `pip install cplex` or use the solver highs"
        ) from None
    solver = pulp.CPLEX_PY(
        msg=False,
        timeLimit=seconds,
        gapRel=0.0,
        threads=1,
        **{
            "randomseed": 0,
            "mip.tolerances.absmipgap": ABSOLUTE_GAP,
            "mip.tolerances.integrality": INTEGRALITY,
        },
    )
    try:
        program.solve(solver)
    except cplex.exceptions.CplexSolverError as error:
        size = f"{len(program.variables())} variables and {len(program.constraints())} rows"
        raise InvalidArgumentError(f"cplex refuses this program of {size}: {error}; use the solver highs") from None
    solution = program.solverModel.solution
    # PuLP calls a run stopped without a solution "Infeasible"; only CPLEX's own status tells them apart.
    status = solution.get_status()
    if status in (solution.status.MIP_infeasible, solution.status.MIP_infeasible_or_unbounded):
        return Result("infeasible", False, math.inf)
    optimal = status in (solution.status.MIP_optimal, solution.status.optimal_tolerance)
    return Result(
        "optimal" if optimal else "stopped",
        solution.is_primal_feasible(),
        solution.MIP.get_best_objective(),
    )
