"""Which method minimises a problem's goals."""

from collections.abc import Callable

from core.objective import SolverOptions
from core.problem import Problem
from optimizer.clock import Clock
from optimizer.exact.method import ExactMethod
from optimizer.integer_program import IntegerProgram
from optimizer.solution import Method


def method_for(
    problem: Problem, options: SolverOptions, clock: Clock, tell: Callable[[str], None] = lambda _: None
) -> Method:
    """The method that ``options.method`` names.

    Args:
        problem: every layer must have an allowed server.
        options: ``method`` chooses; ``solver`` is of the integer programs of either.
        clock: no preparation takes longer than it has left.
        tell: called with a sentence when the exact method hands over to the integer program.
    """
    if options.method == "ilp":
        return IntegerProgram(problem, options.solver, clock)
    return ExactMethod(problem, options.solver, tell, clock)
