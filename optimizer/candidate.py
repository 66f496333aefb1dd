"""A placement with its components, and what the simulator says of them."""

from dataclasses import dataclass, replace

from core.cost import violated_limit
from core.objective import Goal
from core.plan import Normalization, ParallelPrediction, PlannedComponent, Prediction
from core.problem import Problem
from core.simulation import parallel_prediction
from optimizer.components import components_of, plan_components
from optimizer.measures import value_of
from optimizer.solution import Solution
from optimizer.weighted import ranking


@dataclass(frozen=True)
class Candidate:
    """A plan in all but name."""

    solution: Solution
    components: tuple[PlannedComponent, ...]
    parallel: ParallelPrediction

    def seconds(self, goal: Goal) -> float:
        """The time that a goal means."""
        if goal == "latency":
            return self.parallel.latency_seconds
        if goal == "throughput":
            return self.parallel.seconds_per_request
        return self.solution.prediction.latency_seconds

    def timed(self, goal: Goal) -> Prediction:
        """The prediction with the goal's time in the place of the summed latency, as objectives weigh it."""
        return replace(self.solution.prediction, latency_seconds=self.seconds(goal))


def candidate(problem: Problem, solution: Solution, members: list[list[str]] | None = None) -> Candidate:
    """Form components and follow a request through them.

    Args:
        members: the layers of each component; ``None`` makes as few components as possible.
    """
    if members is None:
        components = plan_components(problem.model, solution.placement, problem.device)
    else:
        components = components_of(problem.model, members, solution.placement, problem.device)
    return Candidate(solution, components, parallel_prediction(problem, components, solution.quantized))


def rank(problem: Problem, normalization: Normalization, one: Candidate) -> float:
    """The weighted objective plus a constant: the lower, the better; it ranks plans also where a range is zero."""
    weights, _ = ranking(problem, normalization)
    return value_of(weights, one.timed(problem.objective.goal))


def within_limits(problem: Problem, solution: Solution) -> bool:
    """Whether no limit is broken."""
    return violated_limit(problem, solution.prediction) is None
