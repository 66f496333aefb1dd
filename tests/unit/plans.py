"""Plans for tests that need one without planning, and running divided models in one process."""

from collections.abc import Collection, Mapping, Sequence

import networkx as nx
import numpy as np
import onnx
import onnxruntime as ort

from core.deployment import Division
from core.plan import Plan, PlannedComponent


def plan_for(model: onnx.ModelProto, servers: Sequence[str], quantized: Collection[str] = ()) -> Plan:
    """A plan that puts the model's i-th layer on the i-th server.

    A layer joins the last component on its server with which the component graph stays acyclic.
    """
    placed = dict(zip((node.name for node in model.graph.node), servers, strict=True))
    makers = {name: node.name for node in model.graph.node for name in node.output}
    graph: nx.DiGraph = nx.DiGraph()
    members: list[list[str]] = []
    homes: dict[str, int] = {}
    for node in model.graph.node:
        same = [i for i, names in enumerate(members) if placed[names[0]] == placed[node.name]]
        for home in (*reversed(same), len(members)):
            trial = graph.copy()
            trial.add_node(home)
            sources = {homes[makers[name]] for name in _captured(node) if name in makers}
            trial.add_edges_from((source, home) for source in sources - {home})
            if nx.is_directed_acyclic_graph(trial):
                break
        graph = trial
        if home == len(members):
            members.append([])
        members[home].append(node.name)
        homes[node.name] = home
    order = list(nx.lexicographical_topological_sort(graph))
    components = [
        PlannedComponent(position + 1, placed[members[i][0]], len(members[i]), (), {}, tuple(members[i]))
        for position, i in enumerate(order)
    ]
    ends = [PlannedComponent(i, "device", 0, (), {}) for i in (0, len(components) + 1)]
    return Plan(
        model.graph.name,
        "optimal",
        placement=placed,
        quantized=tuple(quantized),
        components=(ends[0], *components, ends[1]),
    )


def _captured(node: onnx.NodeProto) -> set[str]:
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= _captured(inner)
    return names


def session(model: bytes, optimized: bool = True) -> ort.InferenceSession:
    """Load a model; not ``optimized`` runs it node by node, as written."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Without it, 16-bit sums of uint8 × int8 overflow on x86 processors that have no VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(model: bytes, inputs: Mapping[str, np.ndarray], optimized: bool = True) -> dict[str, np.ndarray]:
    """Run a model once."""
    loaded = session(model, optimized)
    names = [output.name for output in loaded.get_outputs()]
    return dict(zip(names, loaded.run(names, dict(inputs)), strict=True))


def run_parts(
    division: Division, blobs: Mapping[str, bytes], inputs: Mapping[str, np.ndarray], optimized: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Run the components in order, each on just what is routed to it; return the answers and all that was sent."""
    arrived: dict[int, dict[str, np.ndarray]] = {}

    def send(name: str, value: np.ndarray, receivers: Collection[int]) -> None:
        for receiver in receivers:
            arrived.setdefault(receiver, {})[name] = value

    sent: dict[str, np.ndarray] = {}
    for name, value in inputs.items():
        send(name, value, division.input_routes[name])
    for component in division.components:
        outputs = run(blobs[component.blob], arrived.pop(component.id), optimized)
        for spec in component.outputs:
            spec.check(outputs[spec.name])
            send(spec.name, outputs[spec.name], component.routes[spec.name])
        sent |= outputs
    return arrived.pop(-1), sent
