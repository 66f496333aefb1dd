"""Which method minimises a problem's goals."""

from collections.abc import Callable

from core.problem import Problem, SolverOptions
from optimizer.exact.method import ExactMethod
from optimizer.integer_program import IntegerProgram
from optimizer.solution import Method


def method_for(problem: Problem, options: SolverOptions, tell: Callable[[str], None] = lambda _: None) -> Method:
    """The method that ``options.method`` names.

    Args:
        problem: every layer must have an allowed server.
        options: ``method`` chooses; ``solver`` is of the integer programs of either.
        tell: called with a sentence when the exact method hands over to the integer program.
    """
    if options.method == "ilp":
        return IntegerProgram(problem, options.solver)
    return ExactMethod(problem, options.solver, tell)
