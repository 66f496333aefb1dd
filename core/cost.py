"""The cost model: the one place where latency, energy, memory and noise of a placement are computed."""

from collections.abc import Collection, Mapping

from core.graph import GENERATOR, RECEIVER
from core.plan import Normalization, Prediction
from core.problem import Problem


def compute_seconds(problem: Problem, layer: str, server: str, quantized: bool) -> float:
    """Time of one layer on one server: f̂_k(i,0) − ĝ_k(i) q_i (thesis eq. 4.2.1)."""
    time = problem.execution[server][layer]
    if quantized and time.quantized_seconds is not None:
        return time.quantized_seconds
    return time.seconds


def size_factor(problem: Problem, quantized: bool) -> float:
    """What remains of a size when its producer or layer is int8: 1 − (1 − 1/α) q."""
    return 1 / problem.quantized_size_ratio if quantized else 1.0


def predict(problem: Problem, placement: Mapping[str, str], quantized: Collection[str]) -> Prediction | None:
    """Latency, energy, noise and memory of a placement (thesis chapter 4).

    T = Σ compute + Σ transfers, one transfer per tensor and distinct destination server;
    E = Σ_k P^c_k T^c_k + P^self_k T^x_kk + P^tx_k Σ_{h≠k} T^x_kh; m_k = Σ_i x_ik weight_i (1 − (1 − 1/α) q_i).

    Args:
        placement: layer → server for every layer of the model; generator and receiver are added.
        quantized: layers that are int8.

    Returns:
        The prediction, or ``None`` where a tensor would need a link that does not exist.
    """
    chosen = frozenset(quantized)
    where = {**placement, GENERATOR: problem.device, RECEIVER: problem.device}
    latency = 0.0
    energy = {server.name: 0.0 for server in problem.servers}
    memory = {server.name: 0.0 for server in problem.servers}
    for layer in problem.model.layers:
        server = where[layer.name]
        seconds = compute_seconds(problem, layer.name, server, layer.name in chosen)
        latency += seconds
        energy[server] += problem.server_by_name[server].compute_watts * seconds
        memory[server] += layer.weight_bytes * size_factor(problem, layer.name in chosen)
    for tensor in problem.model.tensors:
        source = where[tensor.producer]
        byte_count = tensor.bytes * size_factor(problem, tensor.producer in chosen)
        for target in dict.fromkeys(where[name] for name in tensor.targets):
            transfer = problem.transfer_seconds(source, target, byte_count)
            if transfer is None:
                return None
            latency += transfer
            sender = problem.server_by_name[source]
            energy[source] += transfer * (sender.self_transmit_watts if source == target else sender.transmit_watts)
    return Prediction(
        latency_seconds=latency,
        energy_joules=sum(energy.values()),
        device_energy_joules=energy[problem.device],
        noise=problem.noise.predict(chosen) if problem.noise else 0.0,
        memory_bytes={name: round(value) for name, value in memory.items()},
    )


def violated_limit(problem: Problem, prediction: Prediction, tolerance: float = 1e-6) -> str | None:
    """Name the first limit that a prediction breaks, with both values, or ``None``."""
    limits = problem.limits
    if limits.noise is not None and prediction.noise > limits.noise + tolerance * max(1.0, limits.noise):
        return f"noise {prediction.noise:.6g} is above the limit {limits.noise:.6g}"
    cap = limits.device_energy_joules
    if cap is not None and prediction.device_energy_joules > cap + tolerance * max(1.0, cap):
        return f"device energy {prediction.device_energy_joules:.6g} J is above the limit {cap:.6g} J"
    for server in problem.servers:
        room = server.memory_bytes
        if room is not None and prediction.memory_bytes[server.name] > room + 1:
            return f"memory of {server.name}: {prediction.memory_bytes[server.name]} bytes needed, {room} allowed"
    return None


def weighted_objective(problem: Problem, normalization: Normalization, prediction: Prediction) -> float:
    """ω_T (T − T_min)/(T_max − T_min) + ω_E (E − E_min)/(E_max − E_min); a range of zero counts as zero."""

    def share(value: float, low: float, high: float) -> float:
        return (value - low) / (high - low) if high - low > 1e-12 * max(1.0, abs(high)) else 0.0

    return problem.objective.latency_weight * share(
        prediction.latency_seconds, normalization.latency_min, normalization.latency_max
    ) + problem.objective.energy_weight * share(
        prediction.energy_joules, normalization.energy_min, normalization.energy_max
    )
