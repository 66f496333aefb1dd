"""The placement problem as a tight integer program (thesis chapter 4, with flows per consumer).

Variables: x_ik (layer i on server k) and q_i (layer i in int8) are binary. z_ik = x_ik q_i is tied by z_ik ≤ x_ik
and Σ_k z_ik = q_i. For every producer s and consumer c a flow f_(k,b),h says that s runs on k in precision b and
c on h: Σ_h f_(k,b),h is the indicator of s's state (k, b) and Σ_(k,b) f_(k,b),h = x_ch. A tensor with several
consumers is sent once per destination: y_(k,b),h ≥ f_(k,b),h of each of them. Compared with the thesis's
y ≥ x + x − 1 per pair (eq. 4.7.3), the linear relaxation is nearly integral. Noise: see ``optimizer.noise``.
"""

import time
from collections import defaultdict
from collections.abc import Mapping

import pulp

from core.cost import compute_seconds, size_factor
from core.graph import GENERATOR, RECEIVER, Tensor
from core.problem import Problem
from optimizer.clock import Clock, OutOfTimeError
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, NOISE, Weights, memory_of, value_of
from optimizer.noise import add_noise_limit, noise_terms
from optimizer.rows import Rows, total
from optimizer.solution import Outcome, Solution, evaluated
from optimizer.solvers import solve

SCALE = 1000.0
"""Goals and caps are scaled to about this size, so that the solvers' absolute tolerances mean little."""

SECONDS_PER_FLOW = 1e-4
"""Time to build the program by pair of servers of a producer and a consumer, as seen on a slow machine."""

State = tuple[str, bool]
"""Server of a layer and whether the layer is int8."""


def building_seconds(problem: Problem) -> float:
    """How long it takes, about, until a solver begins to search a problem's program."""
    allowed = {GENERATOR: 1, RECEIVER: 1}
    allowed |= {layer: len(problem.allowed_servers(layer)) for layer in problem.model.by_name}
    return SECONDS_PER_FLOW * sum(allowed[source] * allowed[target] for source, target in problem.model.digraph.edges)


class IntegerProgram:
    """The program of one problem; its rows are built once and minimised for several goals.

    Args:
        problem: every layer must have an allowed server.
        solver: ``highs``, ``cbc`` or ``cplex``.
        clock: whose end HiGHS heeds whenever it comes; the others finish the minimisation under way.
    """

    def __init__(self, problem: Problem, solver: str = "highs", clock: Clock | None = None) -> None:
        self._problem = problem
        self._solver = solver
        self._clock = clock or Clock(None)
        self._built = False

    def _build(self) -> None:
        """Make variables and rows.

        Raises:
            OutOfTimeError: the time was up before they were made.
        """
        problem = self._problem
        self._rows = Rows()
        self._on: dict[str, dict[str, pulp.LpVariable]] = {}
        self._quantized: dict[str, pulp.LpVariable] = {}
        self._states: dict[str, dict[State, dict[pulp.LpVariable, float]]] = {}
        self._measures: dict[str, dict[pulp.LpVariable, float]] = defaultdict(lambda: defaultdict(float))
        for endpoint in (GENERATOR, RECEIVER):
            self._add_layer(endpoint, (problem.device,), quantizable=False)
        for layer in problem.model.layers:
            self._add_layer(layer.name, problem.allowed_servers(layer.name), layer.quantizable)
            self._measure_layer(layer.name, layer.weight_bytes)
        self._add_tensors()
        self._built = True

    def minimize(
        self, goal: Weights, caps: Weights, seconds: float | None = None, start: Solution | None = None
    ) -> Outcome:
        """See ``optimizer.solution.Method``."""
        begin = time.perf_counter()
        building = building_seconds(self._problem) / 2
        if seconds is not None and seconds < 2 * building:
            return Outcome("stopped", start)
        try:
            if not self._built:
                self._build()
        except OutOfTimeError:
            return Outcome("stopped", start)
        rows = self._rows.extended()
        objective: dict[pulp.LpVariable, float] = defaultdict(float)
        for measure, weight in goal.items():
            for variable, coefficient in self._terms(measure, rows).items():
                objective[variable] += weight * coefficient
        for measure, cap in caps.items():
            if not self._add_cap(rows, measure, cap):
                return Outcome("infeasible")
        scale = _scale(abs(value_of(goal, start.prediction)) if start else 0.0, objective)
        rows.program.setObjective(total((variable, scale * value) for variable, value in objective.items()))
        left = None if seconds is None else begin + seconds - building - time.perf_counter()
        values = self._values_of(start) if start else {}
        result = solve(rows.program, self._solver, left, values, lambda: self._clock.stopped)
        return Outcome(result.status, self._read() if result.has_values else None, result.lower_bound / scale)

    def _terms(self, measure: str, rows: Rows) -> Mapping[pulp.LpVariable, float]:
        if measure == NOISE:
            return noise_terms(rows, self._problem.noise, self._quantized)
        return self._measures[measure]

    def _add_cap(self, rows: Rows, measure: str, cap: float) -> bool:
        if measure == NOISE:
            return add_noise_limit(rows, self._problem.noise, self._quantized, cap)
        terms = self._measures[measure]
        scale = _scale(abs(cap), terms)
        rows.at_most(((variable, scale * value) for variable, value in terms.items()), scale * cap)
        return bool(terms) or cap >= 0

    def _read(self) -> Solution:
        placement = {
            layer.name: max(self._on[layer.name].items(), key=lambda item: item[1].varValue)[0]
            for layer in self._problem.model.layers
        }
        chosen = frozenset(name for name, variable in self._quantized.items() if variable.varValue > 0.5)
        return evaluated(self._problem, placement, chosen)

    def _values_of(self, start: Solution) -> dict[pulp.LpVariable, float]:
        values = {
            variable: float(start.placement[layer.name] == server)
            for layer in self._problem.model.layers
            for server, variable in self._on[layer.name].items()
        }
        return values | {variable: float(name in start.quantized) for name, variable in self._quantized.items()}

    def _add_layer(self, name: str, servers: tuple[str, ...], quantizable: bool) -> None:
        on = {server: self._rows.variable(binary=True, low=float(len(servers) == 1)) for server in servers}
        self._on[name] = on
        self._rows.equal(((variable, 1.0) for variable in on.values()), 1.0)
        if not quantizable:
            self._states[name] = {(server, False): {variable: 1.0} for server, variable in on.items()}
            return
        chosen = self._quantized[name] = self._rows.variable(binary=True)
        both = {server: self._rows.variable() for server in servers}
        for server in servers:
            self._rows.at_most(((both[server], 1.0), (on[server], -1.0)), 0.0)
        self._rows.equal([*((variable, 1.0) for variable in both.values()), (chosen, -1.0)], 0.0)
        self._states[name] = {(server, False): {on[server]: 1.0, both[server]: -1.0} for server in servers}
        self._states[name] |= {(server, True): {both[server]: 1.0} for server in servers}

    def _measure_layer(self, name: str, weight_bytes: int) -> None:
        for (server, quantized), indicator in self._states[name].items():
            seconds = compute_seconds(self._problem, name, server, quantized)
            self._count_time(indicator, server, seconds, self._problem.server_by_name[server].compute_watts)
            self._measure(memory_of(server), indicator, weight_bytes * size_factor(self._problem, quantized))

    def _count_time(
        self, indicator: Mapping[pulp.LpVariable, float], server: str, seconds: float, watts: float
    ) -> None:
        self._measure(LATENCY, indicator, seconds)
        self._measure(ENERGY, indicator, watts * seconds)
        if server == self._problem.device:
            self._measure(DEVICE_ENERGY, indicator, watts * seconds)

    def _measure(self, measure: str, indicator: Mapping[pulp.LpVariable, float], value: float) -> None:
        if value:
            for variable, sign in indicator.items():
                self._measures[measure][variable] += sign * value

    def _add_tensors(self) -> None:
        sent_alike: dict[tuple[str, frozenset[str]], list[Tensor]] = defaultdict(list)
        for tensor in self._problem.model.tensors:
            sent_alike[tensor.producer, frozenset(tensor.targets)].append(tensor)
        flows: dict[tuple[str, str], dict[tuple[State, str], pulp.LpVariable]] = {}
        for (producer, targets), tensors in sent_alike.items():
            if self._clock.left == 0:
                raise OutOfTimeError
            ordered = [target for target in tensors[0].targets if target in targets]
            for target in ordered:
                if (producer, target) not in flows:
                    flows[producer, target] = self._add_flow(producer, target)
            self._add_transfers(tensors, [flows[producer, target] for target in ordered])

    def _add_flow(self, producer: str, target: str) -> dict[tuple[State, str], pulp.LpVariable]:
        flow = {
            (state, server): self._rows.variable()
            for state in self._states[producer]
            for server in self._on[target]
            if self._problem.transfer_seconds(state[0], server, 0.0) is not None
        }
        for state, indicator in self._states[producer].items():
            leaving = [(flow[state, server], 1.0) for server in self._on[target] if (state, server) in flow]
            self._rows.equal([*leaving, *((v, -sign) for v, sign in indicator.items())], 0.0)
        for server, variable in self._on[target].items():
            arriving = [(flow[state, server], 1.0) for state in self._states[producer] if (state, server) in flow]
            self._rows.equal([*arriving, (variable, -1.0)], 0.0)
        return flow

    def _add_transfers(self, tensors: list[Tensor], flows: list[dict[tuple[State, str], pulp.LpVariable]]) -> None:
        pairs = dict.fromkeys(pair for flow in flows for pair in flow)
        for (source, quantized), target in pairs:
            times = (self._problem.sending_seconds(tensor, source, target, quantized) for tensor in tensors)
            seconds = sum(time or 0.0 for time in times)
            if not seconds:
                continue
            used = [flow[(source, quantized), target] for flow in flows if ((source, quantized), target) in flow]
            sent = used[0] if len(used) == 1 else self._rows.largest(used)
            server = self._problem.server_by_name[source]
            watts = server.self_transmit_watts if source == target else server.transmit_watts
            self._count_time({sent: 1.0}, source, seconds, watts)


def _scale(typical: float, terms: Mapping[pulp.LpVariable, float]) -> float:
    """Factor that brings the typical value to ``SCALE``, and no coefficient above a thousand times that."""
    return SCALE / (max(typical, max(map(abs, terms.values()), default=0.0) / SCALE) or SCALE)
