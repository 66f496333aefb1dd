import math
from pathlib import Path

import pytest

from core.errors import InvalidArgumentError
from core.profiles import Power, RuntimeSettings
from services.runtime.settings import CONTROL_SERVICES, NODE_SERVICES, EmulatedLink, Settings, read_settings


def test_a_flag_beats_the_environment_which_beats_the_default() -> None:
    environment = {"PARTITA_SERVER": "from-environment", "PARTITA_THREADS": "3", "PARTITA_DATA_DIRECTORY": "data"}
    settings = read_settings(["node", "--server", "from-flag"], environment)
    assert settings.server == "from-flag"
    assert settings.threads == 3
    assert settings.data_directory == Path("data")
    assert settings.role == Settings().role
    assert read_settings(["node"], {}) == Settings(services=NODE_SERVICES)


def test_a_bad_variable_does_not_hide_behind_a_flag() -> None:
    with pytest.raises(InvalidArgumentError, match="PARTITA_THREADS"):
        read_settings(["node", "--threads=2"], {"PARTITA_THREADS": "two"})


def test_groups_stand_for_their_services_and_nothing_comes_twice() -> None:
    assert read_settings(["control"], {}).services == CONTROL_SERVICES
    assert read_settings(["inferencer", "node", "registry"], {}).services == (
        "inferencer",
        "exec_profiler",
        "server_monitor",
        "front_end",
        "registry",
    )


def test_every_kind_of_value() -> None:
    settings = read_settings(
        [
            "node",
            "--links=edge=20e6,0.005; cloud=inf,0.05",
            "--slowdown=2.5",
            "--memory-bytes=1000000",
            "--compute-watts=2.9",
            "--transmit-watts=3.5",
            "--self-transmit-watts=0.5",
            "--stop-with-stdin=true",
            "--threads=2",
        ],
        {},
    )
    assert settings.links == (EmulatedLink("edge", 20e6, 0.005), EmulatedLink("cloud", math.inf, 0.05))
    assert settings.runtime == RuntimeSettings(2, "CPUExecutionProvider", 2.5)
    assert settings.power == Power(2.9, 3.5, 0.5, "declared")
    assert settings.memory_bytes == 10**6
    assert settings.stop_with_stdin is True


@pytest.mark.parametrize(
    "text",
    ["edge", "edge=", "edge=1e6", "=1e6,0", "edge=0,0", "edge=-1,0", "edge=1e6,-1", "edge=nan,0", "edge=1e6,inf"],
)
def test_links_that_cannot_be_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"PARTITA_LINKS.*for example edge=20e6,0.005"):
        read_settings(["node"], {"PARTITA_LINKS": text})
    with pytest.raises(SystemExit, match="2"):
        read_settings(["node", f"--links={text}"], {})
    assert "for example edge=20e6,0.005" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["kitchen"], ["node", "--threads=two"], ["node", "--unknown=1"]])
def test_unusable_flags_end_the_program(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read_settings(arguments, {})
    assert "usage" in capsys.readouterr().err


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        read_settings(["--help"], {})
    text = capsys.readouterr().out
    assert "--lease-seconds" in text
    assert "PARTITA_FLAG_NAME" in text


def test_addresses() -> None:
    control = Settings(services=("deployer", "registry"), model_pool="pool:1")
    assert control.listen_address == "127.0.0.1:50051"
    assert control.address_of("registry", "here:1") == "here:1"
    assert control.address_of("model_pool", "here:1") == "pool:1"
    assert control.address_of("optimizer", "here:1") == "127.0.0.1:50055"
    assert Settings(services=("registry",), listen="0.0.0.0:7").listen_address == "0.0.0.0:7"


def test_what_is_measured_can_be_chosen() -> None:
    settings = read_settings(["node", "--measure-power=false", "--link-budget=0.005"], {})
    assert (settings.measure_power, settings.link_budget) == (False, 0.005)
    defaults = read_settings(["node"], {"PARTITA_MEASURE_POWER": "true"})
    assert (defaults.measure_power, defaults.link_budget) == (True, 0.01)
