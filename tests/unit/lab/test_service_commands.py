import pytest

from core.errors import FailedPreconditionError
from lab import commands
from lab.service_commands import control_address, service_commands
from lab.state import Lab
from lab.topology import LabServer, Topology
from lab.topology_file import load_topology
from services.runtime.settings import read_settings

LAB = Lab("lab", 0, load_topology("thesis"), "relay")


def test_every_server_starts_with_what_the_file_says_of_it() -> None:
    made = service_commands(LAB)
    assert list(made) == ["control", "device", "edge", "cloud"]
    assert made["device"][:3] == ["taskset", "--cpu-list", "0"]
    for server in LAB.topology.servers:
        command = made[server.name]
        settings = read_settings(command[command.index("services") + 1 :], {})
        assert (settings.server, settings.role, settings.threads) == (server.name, server.role, server.threads)
        assert (settings.slowdown, settings.provider) == (server.slowdown, server.provider)
        assert settings.power.compute_watts == server.compute_watts
        assert settings.power.transmit_watts == server.transmit_watts
        assert settings.registry == settings.model_pool == control_address(LAB)
        assert settings.listen_address.startswith(LAB.network.address(server.name))
        # Servers on other machines share no memory.
        assert "mount -t tmpfs" in " ".join(command)
        # Real links are slow enough.
        assert settings.links == ()
    control = read_settings(made["control"][made["control"].index("services") + 1 :], {})
    assert control.listen_address == control_address(LAB)


def test_a_machine_that_cannot_is_told_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.os, "geteuid", lambda: 1000)
    with pytest.raises(FailedPreconditionError, match="needs root"):
        commands.require_machine()
    monkeypatch.setattr(commands.os, "geteuid", lambda: 0)
    monkeypatch.setattr(commands.shutil, "which", lambda tool: None if tool == "tc" else tool)
    with pytest.raises(FailedPreconditionError, match="'tc' is missing; install the package iproute2"):
        commands.require_machine()
    monkeypatch.setattr(commands.shutil, "which", lambda tool: tool)
    with pytest.raises(FailedPreconditionError, match="server a is to use core 4096, but this machine has 0"):
        commands.require_machine(Topology((LabServer("a", "device", cores=(4096,)),)))
