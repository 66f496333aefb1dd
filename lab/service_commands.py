"""How a lab's services are started: as anywhere else, by ``python -m services`` with their settings as flags."""

import sys

from lab.network import CONTROL, Command
from lab.state import Lab
from lab.topology import LabServer

OWN_MEMORY = ["sh", "-c", 'mount -t tmpfs -o mode=1777 partita /dev/shm && exec "$0" "$@"']
"""Run a command with shared memory of its own. Servers that found that they share a machine's would pass tensors there,
past their links. (``ip netns exec`` has given the command mounts of its own, which end with it.)"""

CONTROL_PORT, NODE_PORT = 50051, 50061


def control_address(lab: Lab) -> str:
    """Where clients on this machine reach the Deployer."""
    return f"{lab.network.control_address}:{CONTROL_PORT}"


def service_commands(lab: Lab) -> dict[str, Command]:
    """``CONTROL``, and then every server's name → the command that runs its services."""
    services = [*OWN_MEMORY, sys.executable, "-m", "services"]
    control = control_address(lab)
    commands = {CONTROL: [*services, "control", f"--listen={control}", f"--data-directory={lab.directory / 'data'}"]}
    for server in lab.topology.servers:
        commands[server.name] = [
            *(["taskset", "--cpu-list", ",".join(map(str, server.cores))] if server.cores else []),
            *services,
            "node",
            f"--registry={control}",
            f"--model-pool={control}",
            f"--listen={lab.network.address(server.name)}:{NODE_PORT}",
            f"--data-directory={lab.directory / f'data-{server.name}'}",
            *server_flags(server),
        ]
    return commands


def server_flags(server: LabServer) -> list[str]:
    """What a server is, as flags of ``python -m services node``."""
    return [
        f"--server={server.name}",
        f"--role={server.role}",
        f"--threads={server.threads}",
        f"--provider={server.provider}",
        f"--slowdown={server.slowdown}",
        f"--memory-bytes={server.memory_bytes}",
        f"--compute-watts={server.compute_watts}",
        f"--transmit-watts={server.transmit_watts}",
        f"--self-transmit-watts={server.self_transmit_watts}",
        # Servers that share a machine stand for others: its meters say nothing of them.
        "--measure-power=false",
    ]
