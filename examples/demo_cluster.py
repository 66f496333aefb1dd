"""The demo's three emulated servers, and what it asks of the plan.

The device is a small computer with a camera: slow, near the edge server, far from the cloud. The edge server has
little room for weights. So each of the three has something that the others lack.
"""

from partita.cluster import EmbeddedServer
from partita.options import PlanOptions, ProfileOptions
from services.runtime.settings import EmulatedLink

NEAR = {"bytes_per_second": 30e6, "rtt_seconds": 0.004}
BACKBONE = {"bytes_per_second": 60e6, "rtt_seconds": 0.010}
FAR = {"bytes_per_second": 10e6, "rtt_seconds": 0.030}

SERVERS = (
    EmbeddedServer(
        "device",
        "device",
        slowdown=5.0,
        compute_watts=2.9,
        transmit_watts=3.5,
        links=(EmulatedLink("edge", **NEAR), EmulatedLink("cloud", **FAR)),
    ),
    EmbeddedServer(
        "edge",
        "edge",
        slowdown=1.5,
        memory_bytes=1_500_000,
        compute_watts=5.8,
        transmit_watts=2.3,
        links=(EmulatedLink("device", **NEAR), EmulatedLink("cloud", **BACKBONE)),
    ),
    EmbeddedServer(
        "cloud",
        "cloud",
        compute_watts=15.0,
        transmit_watts=2.3,
        links=(EmulatedLink("device", **FAR), EmulatedLink("edge", **BACKBONE)),
    ),
)

PROFILING: ProfileOptions = {"quantizable_count": 8, "noise_samples": 64}
"""Fewer int8 layers than the default 12, so that the demo does not take long."""

WISHES: PlanOptions = {
    "latency_weight": 0.9,
    "energy_weight": 0.1,
    # A mean difference of 0.003 in the probabilities of text, and the boxes stay where they are.
    "noise_limit": 0.003,
    "time_limit_seconds": 30.0,
}
"""Fast above all, a little thrifty, and int8 only as far as the answer hardly changes."""


def privacy_rule(first_layer: str) -> PlanOptions:
    """The camera's picture never leaves the device: the layer that sees it runs there."""
    return {"layer_rules": {first_layer: ["device"]}}
