"""Run commands of the machine, with plain errors, and tell what the machine can do."""

import os
import shutil
import subprocess
from collections.abc import Iterable

from core.errors import FailedPreconditionError
from lab.network import Command
from lab.topology import Topology

TOOLS = {"ip": "iproute2", "tc": "iproute2", "sysctl": "procps", "taskset": "util-linux"}
"""Tool → the package that brings it."""


def require_machine(topology: Topology | None = None) -> None:
    """Find out before anything is done that it cannot be done here.

    Raises:
        FailedPreconditionError: no root, a tool is missing, or a server wants a core that is not there.
    """
    if os.geteuid() != 0:
        raise FailedPreconditionError(
            "a lab makes network namespaces, which needs root; run it as root, for example with sudo"
        )
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise FailedPreconditionError(f"the tool {tool!r} is missing; install the package {package}")
    here = sorted(os.sched_getaffinity(0))
    for server in topology.servers if topology is not None else ():
        for core in server.cores:
            if core not in here:
                raise FailedPreconditionError(
                    f"server {server.name} is to use core {core}, but this machine has {', '.join(map(str, here))}; "
                    "change its cores, or leave them out"
                )


def run(command: Command) -> str:
    """Run one command and return what it printed.

    Raises:
        FailedPreconditionError: it failed; the message has its own words.
    """
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
    if result.returncode != 0:
        words = " ".join((result.stderr or result.stdout).split())
        raise FailedPreconditionError(f"`{' '.join(command)}` failed: {words}")
    return result.stdout


def run_all(commands: Iterable[Command]) -> None:
    """Run commands one after another; the first that fails ends it."""
    for command in commands:
        run(command)


def succeeds(command: Command) -> bool:
    """Whether a command, for example one that asks the kernel for something, works."""
    try:
        run(command)
    except FailedPreconditionError:
        return False
    return True
