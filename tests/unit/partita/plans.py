"""Plans for tests of what is shown of them."""

from core.plan import Baseline, Plan, PlannedComponent, Prediction


def plan_of(servers: list[str], edges: list[tuple[int, int]], model: str = "net") -> Plan:
    """A plan whose components stand on ``servers``, in order, three layers each; input and output have none."""
    components = []
    for index, server in enumerate(servers):
        targets = tuple(target for source, target in edges if source == index)
        inner = 0 < index < len(servers) - 1
        names = tuple(f"{index}.{layer}" for layer in range(3)) if inner else ()
        components.append(
            PlannedComponent(index, server, len(names), (), {f"t{index}": targets} if targets else {}, names)
        )
    placement = {name: component.server for component in components for name in component.layer_names}
    return Plan(
        model,
        "optimal",
        objective=0.1,
        gap=0.0,
        predicted=Prediction(0.216, 1.9, 0.18, 0.11, dict.fromkeys(servers, 1000)),
        placement=placement,
        quantized=("1.0", "1.2"),
        components=tuple(components),
        baselines={"device_only": Baseline(1.0, 0.9, 2.7, "all on device"), "best_single_cut": Baseline()},
        id="abc123",
    )


CHAIN = plan_of(["device", "edge", "cloud", "device"], [(0, 1), (1, 2), (2, 3)])
"""Input → edge → cloud → output."""
