"""The simplest bound: every layer at its least cost, and nothing sent."""

import numpy as np

from core.problem import Problem
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, Weights, memory_of


def floor_of(problem: Problem, goal: Weights) -> float:
    """A lower bound on a goal that takes no preparation; minus infinity where the goal weighs noise.

    Sending and borders never take less than no time, so that they are left out.

    Args:
        goal: weights of at least 0.
    """
    costs = problem.costs
    may_run = np.isfinite(costs.seconds[:-2])
    seconds = np.where(may_run, costs.seconds[:-2], 0.0)
    columns = {memory_of(server.name): column for column, server in enumerate(problem.servers)}
    weighed = np.zeros_like(seconds)
    for measure, weight in goal.items():
        if measure == LATENCY:
            weighed += weight * seconds
        elif measure == ENERGY:
            weighed += weight * costs.compute_watts[:, None] * seconds
        elif measure == DEVICE_ENERGY:
            weighed[:, 0] += weight * costs.compute_watts[0] * seconds[:, 0]
        elif measure in columns:
            weighed[:, columns[measure]] += weight * costs.weight_bytes[:-2]
        else:
            return -np.inf
    return float(np.where(may_run, weighed, np.inf).min(axis=(1, 2)).sum())
