"""The processes of a lab: each belongs to one of its namespaces, which is how they are all found."""

import contextlib
import os
import signal
import subprocess
import sys
import time

from core.errors import FailedPreconditionError
from lab.commands import run, succeeds
from lab.network import CONTROL, Command
from lab.state import Lab

STOP_SECONDS = 5.0
"""How long processes may take to stop in order before they are killed."""

READY_SECONDS = 60.0
"""How long a process may take until it says that it is ready."""

Process = subprocess.Popen[bytes]

_started: list[Process] = []
"""They outlive this process; as long as it runs, it must take note of their ends."""


def start(lab: Lab, namespace: str, name: str, command: Command) -> Process:
    """Start a process in a namespace that outlives this one; what it says goes to ``NAME.log``."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PARTITA_")}
    with (lab.directory / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            ["ip", "netns", "exec", namespace, *command],  # noqa: S607 - wherever it is installed
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Not where the user is: Python would take modules from there.
            cwd=lab.directory,
            env=environment,
            start_new_session=True,
        )
    _started.append(process)
    return process


def start_relay(lab: Lab) -> None:
    """Start the relay and wait until its devices are there.

    Raises:
        FailedPreconditionError: it ended, or took too long; the message has the end of its log.
    """
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        raise FailedPreconditionError(
            f"/dev/net/tun cannot be opened ({error.strerror}), which links need on a kernel without netem; "
            "`modprobe tun`, or `modprobe sch_netem` and --shaping netem"
        ) from None
    process = start(lab, lab.network.namespace(CONTROL), "relay", [sys.executable, "-m", "lab.relay", lab.name])
    wait_until_says(lab, "relay", process, "ready")


def wait_until_says(lab: Lab, name: str, process: Process, words: str) -> None:
    """Wait until a process has said that it is ready.

    Raises:
        FailedPreconditionError: it ended, or took too long; the message has the end of its log.
    """
    log = lab.directory / f"{name}.log"
    end = time.monotonic() + READY_SECONDS
    while words not in log.read_text(errors="replace").splitlines():
        if process.poll() is not None or time.monotonic() > end:
            raise FailedPreconditionError(f"{name} did not start; {log_end(lab, name)}")
        time.sleep(0.02)


def log_end(lab: Lab, name: str) -> str:
    """The last words of a process, and where the others are."""
    path = lab.directory / f"{name}.log"
    return f"its log {path} ends with: {path.read_text(errors='replace')[-800:].strip() or '(nothing)'}"


def stop_all(namespaces: list[str]) -> None:
    """Stop every process in these namespaces, in order where it does so in time."""
    stopped: set[int] = set()
    for sign, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        for pid in running(namespaces):
            stopped.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        end = time.monotonic() + patience
        while running(namespaces) and time.monotonic() < end:
            time.sleep(0.05)
    for process in _started:
        if process.pid in stopped:
            # It leaves its namespace a moment before its end can be taken note of.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
    _started[:] = [process for process in _started if process.poll() is None]


def running(namespaces: list[str]) -> list[int]:
    """The processes in these namespaces, without this one; needs root."""
    found = []
    for namespace in namespaces:
        if succeeds(["ip", "netns", "pids", namespace]):
            found += [int(pid) for pid in run(["ip", "netns", "pids", namespace]).split()]
    # The relay's and the measurement's threads enter namespaces for a moment; this process is never meant.
    return [pid for pid in found if pid != os.getpid()]
