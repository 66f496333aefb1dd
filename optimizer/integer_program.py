"""The placement problem as a tight integer program (thesis chapter 4, with flows per consumer).

Variables: x_ik (layer i on server k) and q_i (layer i in int8) are binary. z_ik = x_ik q_i is tied by z_ik ≤ x_ik
and Σ_k z_ik = q_i. For every producer s and consumer c a flow f_(k,b),h says that s runs on k in precision b and
c on h: Σ_h f_(k,b),h is the indicator of s's state (k, b) and Σ_(k,b) f_(k,b),h = x_ch. A tensor with several
consumers is sent once per destination: y_(k,b),h ≥ f_(k,b),h of each of them. Compared with the thesis's
y ≥ x + x − 1 per pair (eq. 4.7.3), the linear relaxation is nearly integral. Noise: each monomial of the
polynomial is a variable bounded from the side that its coefficient's sign needs (eq. 4.6.1–4.6.2).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pulp

from core.cost import compute_seconds, size_factor
from core.graph import GENERATOR, RECEIVER, Tensor
from core.problem import Problem, SolverOptions
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, MISSING_LINKS, NOISE, Weights, memory_of
from optimizer.solution import Outcome, Solution, evaluated
from optimizer.solvers import solve

SCALE = 1000.0
"""Goals and caps are scaled to about this size, so that the solvers' absolute tolerances mean little."""

State = tuple[str, bool]
"""Server of a layer and whether the layer is int8."""


class IntegerProgram:
    """The program of one problem; its rows are built once and minimised for several goals.

    Args:
        problem: every layer must have an allowed server.
        options: solver; the time limit is given per goal instead.
        allow_missing_links: let tensors use missing links, at no time, and count them as ``MISSING_LINKS``.
    """

    def __init__(self, problem: Problem, options: SolverOptions, allow_missing_links: bool = False) -> None:
        self._problem = problem
        self._options = options
        self._allow_missing_links = allow_missing_links
        self._program = pulp.LpProblem("placement", pulp.LpMinimize)
        self._count = 0
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
        self._add_noise()

    def minimize(
        self, goal: Weights, caps: Weights, seconds: float | None = None, start: Solution | None = None
    ) -> Outcome:
        """See ``optimizer.solution.Method``."""
        objective: dict[pulp.LpVariable, float] = defaultdict(float)
        for measure, weight in goal.items():
            for variable, coefficient in self._measures[measure].items():
                objective[variable] += weight * coefficient
        scale = SCALE / (self._typical_value(objective, start) or SCALE)
        program = self._program.copy()
        program.setObjective(_sum((variable, scale * value) for variable, value in objective.items()))
        for measure, cap in caps.items():
            row = self._measures[measure]
            if not row and cap < 0:
                return Outcome("infeasible")
            row_scale = SCALE / (abs(cap) or max(map(abs, row.values()), default=0.0) or SCALE)
            expression = _sum((variable, row_scale * value) for variable, value in row.items())
            program.addConstraint(pulp.LpConstraint(expression, pulp.LpConstraintLE, rhs=row_scale * cap))
        result = solve(program, self._options.solver, seconds, self._values_of(start) if start else {})
        return Outcome(result.status, self._read() if result.has_values else None, result.lower_bound / scale)

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

    def _typical_value(self, objective: Mapping[pulp.LpVariable, float], start: Solution | None) -> float:
        if start is None:
            return max(map(abs, objective.values()), default=0.0)
        return abs(sum(value * objective.get(variable, 0.0) for variable, value in self._values_of(start).items()))

    def _variable(self, binary: bool = False, low: float = 0.0) -> pulp.LpVariable:
        self._count += 1
        category = pulp.LpInteger if binary else pulp.LpContinuous
        return self._program.add_variable(f"v{self._count}", low, 1.0, category)

    def _row(self, terms: Iterable[tuple[pulp.LpVariable, float]], sense: int, right: float) -> None:
        self._program.addConstraint(pulp.LpConstraint(_sum(terms), sense, rhs=right))

    def _add_layer(self, name: str, servers: tuple[str, ...], quantizable: bool) -> None:
        on = {server: self._variable(binary=True, low=float(len(servers) == 1)) for server in servers}
        self._on[name] = on
        self._row(((variable, 1.0) for variable in on.values()), pulp.LpConstraintEQ, 1.0)
        if not quantizable:
            self._states[name] = {(server, False): {variable: 1.0} for server, variable in on.items()}
            return
        chosen = self._quantized[name] = self._variable(binary=True)
        both = {server: self._variable() for server in servers}
        for server in servers:
            self._row(((both[server], 1.0), (on[server], -1.0)), pulp.LpConstraintLE, 0.0)
        self._row([*((variable, 1.0) for variable in both.values()), (chosen, -1.0)], pulp.LpConstraintEQ, 0.0)
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
            ordered = [target for target in tensors[0].targets if target in targets]
            for target in ordered:
                if (producer, target) not in flows:
                    flows[producer, target] = self._add_flow(producer, target)
            self._add_transfers(tensors, producer, [flows[producer, target] for target in ordered])

    def _add_flow(self, producer: str, target: str) -> dict[tuple[State, str], pulp.LpVariable]:
        flow = {
            (state, server): self._variable()
            for state in self._states[producer]
            for server in self._on[target]
            if self._allow_missing_links or self._problem.transfer_seconds(state[0], server, 0.0) is not None
        }
        for state, indicator in self._states[producer].items():
            leaving = [(flow[state, server], 1.0) for server in self._on[target] if (state, server) in flow]
            self._row([*leaving, *((v, -sign) for v, sign in indicator.items())], pulp.LpConstraintEQ, 0.0)
        for server, variable in self._on[target].items():
            arriving = [(flow[state, server], 1.0) for state in self._states[producer] if (state, server) in flow]
            self._row([*arriving, (variable, -1.0)], pulp.LpConstraintEQ, 0.0)
        return flow

    def _add_transfers(
        self, tensors: list[Tensor], producer: str, flows: list[dict[tuple[State, str], pulp.LpVariable]]
    ) -> None:
        pairs = dict.fromkeys(pair for flow in flows for pair in flow)
        for (source, quantized), target in pairs:
            factor = size_factor(self._problem, quantized)
            times = [self._problem.transfer_seconds(source, target, tensor.bytes * factor) for tensor in tensors]
            missing = times.count(None)
            seconds = sum(time or 0.0 for time in times)
            if not seconds and not missing:
                continue
            used = [flow[(source, quantized), target] for flow in flows if ((source, quantized), target) in flow]
            sent = used[0] if len(used) == 1 else self._at_least(used)
            server = self._problem.server_by_name[source]
            watts = server.self_transmit_watts if source == target else server.transmit_watts
            self._count_time({sent: 1.0}, source, seconds, watts)
            self._measure(MISSING_LINKS, {sent: 1.0}, missing)

    def _at_least(self, variables: Iterable[pulp.LpVariable]) -> pulp.LpVariable:
        largest = self._variable()
        for variable in variables:
            self._row(((largest, 1.0), (variable, -1.0)), pulp.LpConstraintGE, 0.0)
        return largest

    def _add_noise(self) -> None:
        noise = self._problem.noise
        if noise is None or not self._quantized:
            return
        coefficients: dict[frozenset[str], float] = defaultdict(float)
        for term in noise.terms:
            if self._quantized.keys() >= set(term.layers):
                coefficients[frozenset(term.layers)] += term.coefficient
        any_quantized = noise.intercept + coefficients.pop(frozenset(), 0.0)
        chosen = list(self._quantized.values())
        self._measure(NOISE, {self._any_of(chosen, any_quantized > 0): 1.0}, any_quantized)
        for layers, coefficient in coefficients.items():
            factors = [variable for name, variable in self._quantized.items() if name in layers]
            self._measure(NOISE, {self._all_of(factors, coefficient > 0): 1.0}, coefficient)

    def _any_of(self, factors: list[pulp.LpVariable], is_cost: bool) -> pulp.LpVariable:
        if is_cost:
            return self._at_least(factors)
        some = self._variable()
        self._row([(some, 1.0), *((factor, -1.0) for factor in factors)], pulp.LpConstraintLE, 0.0)
        return some

    def _all_of(self, factors: list[pulp.LpVariable], is_cost: bool) -> pulp.LpVariable:
        if len(factors) == 1:
            return factors[0]
        product = self._variable()
        if is_cost:
            negated = ((factor, -1.0) for factor in factors)
            self._row([(product, 1.0), *negated], pulp.LpConstraintGE, 1.0 - len(factors))
        else:
            for factor in factors:
                self._row(((product, 1.0), (factor, -1.0)), pulp.LpConstraintLE, 0.0)
        return product


def _sum(terms: Iterable[tuple[pulp.LpVariable, float]]) -> pulp.LpAffineExpression:
    return pulp.LpAffineExpression(list(terms))
