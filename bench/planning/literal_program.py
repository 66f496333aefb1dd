"""The thesis's own integer program, as it stands in its chapter 4: yardstick of the bench, oracle of the tests.

Kept apart from ``optimizer``: it shares with it only the problem's data.
"""

import itertools
from collections import defaultdict
from typing import TypeAlias

import pulp

from core.errors import InternalError
from core.graph import GENERATOR, RECEIVER
from core.plan import Normalization
from core.problem import Problem

Expression: TypeAlias = pulp.LpAffineExpression


class LiteralProgram:
    """Binary x, q, y with products x^q (eq. 4.3.3), y^q (4.3.8) and q̂ (4.6.1–4.6.2), y tied to x by eq. 4.7.3.

    Args:
        problem: what to place.
        relative_gap: between value and bound at which HiGHS counts a goal as minimised.
    """

    def __init__(self, problem: Problem, relative_gap: float = 0.0) -> None:
        self._problem = problem
        self._relative_gap = relative_gap
        self._program = pulp.LpProblem("literal", pulp.LpMinimize)
        self._names = itertools.count()
        servers = [server.name for server in problem.servers]
        self._x = {
            (layer, server): self._binary()
            for layer in (GENERATOR, RECEIVER, *problem.model.by_name)
            for server in servers
        }
        self._q = {layer: self._binary() for layer in problem.model.quantizable}
        for layer in (GENERATOR, RECEIVER, *problem.model.by_name):
            self._program += pulp.lpSum(self._x[layer, server] for server in servers) == 1
        for layer in problem.model.by_name:
            for server in set(servers) - set(problem.allowed_servers(layer)):
                self._program += self._x[layer, server] == 0
        self._program += self._x[GENERATOR, problem.device] == 1
        self._program += self._x[RECEIVER, problem.device] == 1
        self._compute = {server: self._compute_seconds(server) for server in servers}
        self._transfer = self._transfer_seconds(servers)
        self._limit()

    def latency(self) -> Expression:
        """Seconds of all computing and sending (eq. 4.2.5)."""
        return pulp.lpSum([*self._compute.values(), *self._transfer.values()])

    def energy(self) -> Expression:
        """Joules of all servers."""
        return pulp.lpSum(self._energy_of(server.name) for server in self._problem.servers)

    def minimize(self, goal: Expression, *held: tuple[Expression, float]) -> float | None:
        """Least value of ``goal`` while each of ``held`` stays at most its value; ``None`` if infeasible.

        Raises:
            InternalError: the solver stopped for another reason.
        """
        program = self._program.copy()
        program.setObjective(goal)
        for expression, value in held:
            program.addConstraint(expression <= value + 1e-7)
        options = {"gapRel": self._relative_gap, "gapAbs": 1e-9, "mip_feasibility_tolerance": 1e-9}
        # HiGHS 1.15.1's presolve fails on some small feasible programs or calls them infeasible.
        for presolve in ("choose", "off"):
            program.solve(pulp.HiGHS(msg=False, threads=1, presolve=presolve, **options))
            status = program.solverModel.modelStatusToString(program.solverModel.getModelStatus())
            if status == "Optimal":
                break
        if status == "Infeasible":
            return None
        if program.status != pulp.LpStatusOptimal:
            raise InternalError(f"HiGHS ended the literal program with the status {pulp.LpStatus[program.status]!r}")
        # All variables are integers; what the solver's tolerance leaves of fractions would make the next cap too tight.
        for variable in program.variables():
            variable.varValue = round(variable.varValue or 0.0)
        return pulp.value(goal) or 0.0

    def normalization(self) -> Normalization | None:
        """The lexicographic payoff table (section 4.8); ``None`` if the problem is infeasible."""
        latency_min = self.minimize(self.latency())
        if latency_min is None:
            return None
        energy_min = self.minimize(self.energy())
        assert energy_min is not None
        latency_max = self.minimize(self.latency(), (self.energy(), energy_min))
        energy_max = self.minimize(self.energy(), (self.latency(), latency_min))
        assert latency_max is not None
        assert energy_max is not None
        return Normalization(latency_min, latency_max, energy_min, energy_max)

    def objective(self, normalization: Normalization) -> float:
        """Least weighted objective (eq. 4.8)."""
        goals = self._problem.objective
        parts = (
            (goals.latency_weight, self.latency(), normalization.latency_min, normalization.latency_max),
            (goals.energy_weight, self.energy(), normalization.energy_min, normalization.energy_max),
        )
        goal = pulp.lpSum(
            weight / (high - low) * (expression - low) for weight, expression, low, high in parts if high - low > 1e-6
        )
        value = self.minimize(goal)
        assert value is not None
        return value

    def _binary(self) -> pulp.LpVariable:
        return self._program.add_variable(f"b{next(self._names)}", 0, 1, pulp.LpInteger)

    def _product(self, factors: list[pulp.LpVariable]) -> pulp.LpVariable:
        product = self._binary()
        for factor in factors:
            self._program += product <= factor
        self._program += product >= pulp.lpSum(factors) - (len(factors) - 1)
        return product

    def _and_quantized(self, variable: pulp.LpVariable, layer: str) -> Expression:
        return self._product([variable, self._q[layer]]) if layer in self._q else Expression()

    def _compute_seconds(self, server: str) -> Expression:
        terms = []
        for layer in self._problem.model.by_name:
            time = self._problem.execution.get(server, {}).get(layer)
            if time is None:
                continue
            gain = 0.0 if time.quantized_seconds is None else time.seconds - time.quantized_seconds
            on = self._x[layer, server]
            terms.append(time.seconds * on - gain * self._and_quantized(on, layer))
        return pulp.lpSum(terms)

    def _transfer_seconds(self, servers: list[str]) -> dict[tuple[str, str], Expression]:
        found: dict[tuple[str, str], list[Expression]] = defaultdict(list)
        for tensor in self._problem.model.tensors:
            for source, target in itertools.product(servers, servers):
                sent = self._binary()
                for consumer in tensor.targets:
                    self._program += sent >= self._x[tensor.producer, source] + self._x[consumer, target] - 1
                seconds = self._problem.sending_seconds(tensor, source, target, quantized=False)
                quantized = self._problem.sending_seconds(tensor, source, target, quantized=True)
                if seconds is None or quantized is None:
                    self._program += sent == 0
                elif seconds or quantized:
                    saved = (seconds - quantized) * self._and_quantized(sent, tensor.producer)
                    found[source, target].append(seconds * sent - saved)
        return {pair: pulp.lpSum(terms) for pair, terms in found.items()}

    def _energy_of(self, server: str) -> Expression:
        watts = self._problem.server_by_name[server]
        terms = [watts.compute_watts * self._compute[server]]
        for (source, target), seconds in self._transfer.items():
            if source == server:
                terms.append((watts.self_transmit_watts if source == target else watts.transmit_watts) * seconds)
        return pulp.lpSum(terms)

    def _limit(self) -> None:
        limits = self._problem.limits
        saved = 1 - 1 / self._problem.quantized_size_ratio
        if limits.device_energy_joules is not None:
            self._program += self._energy_of(self._problem.device) <= limits.device_energy_joules
        for server in self._problem.servers:
            if server.memory_bytes is not None:
                used = []
                for layer in self._problem.model.layers:
                    on = self._x[layer.name, server.name]
                    used.append(layer.weight_bytes * (on - saved * self._and_quantized(on, layer.name)))
                self._program += pulp.lpSum(used) <= server.memory_bytes
        if limits.noise is not None and self._problem.noise is not None and self._q:
            some = self._binary()
            for variable in self._q.values():
                self._program += some >= variable
            self._program += some <= pulp.lpSum(self._q.values())
            noise = [self._problem.noise.intercept * some]
            for term in self._problem.noise.terms:
                if all(layer in self._q for layer in term.layers):
                    factors = [self._q[layer] for layer in dict.fromkeys(term.layers)] or [some]
                    noise.append(term.coefficient * self._product(factors))
            self._program += pulp.lpSum(noise) <= limits.noise
