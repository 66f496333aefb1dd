"""Rows and columns of an integer program under construction."""

from collections.abc import Iterable

import pulp

Term = tuple[pulp.LpVariable, float]


def total(terms: Iterable[Term]) -> pulp.LpAffineExpression:
    """Sum of coefficient times variable; each variable may occur once."""
    return pulp.LpAffineExpression(list(terms))


class Rows:
    """A PuLP program whose columns are all between 0 and 1."""

    def __init__(self) -> None:
        self.program = pulp.LpProblem("placement", pulp.LpMinimize)
        self._count = 0

    def extended(self) -> "Rows":
        """A program with the same rows and columns, to which others can be added."""
        other = Rows()
        other.program = self.program.copy()
        other._count = self._count
        return other

    def variable(self, binary: bool = False, low: float = 0.0) -> pulp.LpVariable:
        """Add a column."""
        self._count += 1
        return self.program.add_variable(f"v{self._count}", low, 1.0, pulp.LpInteger if binary else pulp.LpContinuous)

    def equal(self, terms: Iterable[Term], right: float) -> None:
        """Add the row Σ terms = right."""
        self._add(terms, pulp.LpConstraintEQ, right)

    def at_most(self, terms: Iterable[Term], right: float) -> None:
        """Add the row Σ terms ≤ right."""
        self._add(terms, pulp.LpConstraintLE, right)

    def at_least(self, terms: Iterable[Term], right: float) -> None:
        """Add the row Σ terms ≥ right."""
        self._add(terms, pulp.LpConstraintGE, right)

    def largest(self, variables: Iterable[pulp.LpVariable]) -> pulp.LpVariable:
        """Add a column that is at least each of ``variables``."""
        largest = self.variable()
        for variable in variables:
            self.at_least(((largest, 1.0), (variable, -1.0)), 0.0)
        return largest

    def _add(self, terms: Iterable[Term], sense: int, right: float) -> None:
        self.program.addConstraint(pulp.LpConstraint(total(terms), sense, rhs=right))
