"""Lagrange multipliers for caps: the best lower bound that they give, by cutting planes.

For multipliers λ ≥ 0, the least of goal + Σ λ_r (measure_r − cap_r) bounds the goal under the caps. It is a concave
function of λ, the least of one linear function for each placement; the placements seen so far bound it from above,
and the λ where that bound is highest is tried next.
"""

import highspy
import numpy as np

from core.cost import Numbers

LARGEST = 1e4
"""Bound on multipliers, for goals and measures scaled to 1."""


class CuttingPlanes:
    """Proposes multipliers.

    Args:
        caps: of the measures, in their units.
        goal_scale: typical value of the goal.
    """

    def __init__(self, caps: Numbers, goal_scale: float) -> None:
        self._caps = caps
        self._scales = np.array([abs(cap) or 1.0 for cap in caps])
        self._goal_scale = goal_scale or 1.0
        self._program = highspy.Highs()
        self._program.silent()
        count = len(self._caps)
        self._program.addVars(count + 1, np.zeros(count + 1), np.array([LARGEST] * count + [highspy.kHighsInf]))
        self._program.changeColBounds(count, -highspy.kHighsInf, highspy.kHighsInf)
        self._program.changeColCost(count, -1.0)

    def add(self, goal: float, values: Numbers) -> None:
        """Take a placement into account, by its goal and capped measures."""
        slopes = (self._caps - values) / self._scales
        columns = np.arange(len(slopes) + 1, dtype=np.int32)
        row = np.append(slopes, 1.0)
        self._program.addRow(-highspy.kHighsInf, goal / self._goal_scale, len(row), columns, row)

    def propose(self) -> tuple[Numbers, float]:
        """Multipliers to try next, and a value that no multipliers' bound exceeds."""
        self._program.run()
        solution = np.array(self._program.getSolution().col_value)
        multipliers = np.maximum(solution[:-1], 0.0) * self._goal_scale / self._scales
        return multipliers, float(solution[-1]) * self._goal_scale
