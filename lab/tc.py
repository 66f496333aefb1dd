"""Links by the kernel's own traffic control: ``tbf`` limits the rate, ``netem`` delays and loses."""

from lab.link_queue import QUEUE_SECONDS
from lab.network import Command
from lab.topology import Shape

LEAST_BURST_BYTES = 16 * 1024
BURST_SECONDS = 1e-3
"""What may leave at once after a pause; the rate of short transfers is higher by it."""


def shape_commands(namespace: str, interface: str, shape: Shape, netem: bool) -> list[Command]:
    """Shape what leaves by an interface, also where it is shaped already.

    Args:
        netem: whether the kernel has it; without it, delay, jitter and loss are left out.
    """
    replace = ["tc", "-n", namespace, "qdisc", "replace", "dev", interface]
    burst = max(LEAST_BURST_BYTES, round(shape.bytes_per_second * BURST_SECONDS))
    queue = max(2 * burst, round(shape.bytes_per_second * QUEUE_SECONDS))
    limit = f"tbf rate {round(shape.bytes_per_second * 8)}bit burst {burst} limit {queue}".split()
    if not netem:
        return [[*replace, "root", "handle", "1:", *limit]]
    delay = f"netem limit 1000000 delay {shape.delay_seconds * 1e6:.0f}us {shape.jitter_seconds * 1e6:.0f}us".split()
    return [
        [*replace, "root", "handle", "1:", *delay, "loss", f"{shape.loss:.4%}"],
        [*replace, "parent", "1:1", "handle", "10:", *limit],
    ]
