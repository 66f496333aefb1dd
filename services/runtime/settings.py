"""Settings, read once at the entry point: flag, else environment ``PARTITA_*``, else default."""

import argparse
import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from core.errors import InvalidArgumentError
from core.profiles import Power, RuntimeSettings, TimingMethod

DEFAULT_PORTS = {
    "deployer": 50051,
    "model_pool": 50052,
    "registry": 50053,
    "model_profiler": 50054,
    "optimizer": 50055,
    "model_divider": 50056,
    "exec_profiler": 50061,
    "server_monitor": 50062,
    "inferencer": 50063,
    "front_end": 50064,
}
"""Service → port when it runs alone; several in one process share the first one's."""

CONTROL_SERVICES = ("deployer", "model_pool", "registry", "model_profiler", "optimizer", "model_divider")
NODE_SERVICES = ("exec_profiler", "server_monitor", "inferencer", "front_end")
GROUPS = {"control": CONTROL_SERVICES, "node": NODE_SERVICES}
"""Names that stand for several services."""


@dataclass(frozen=True)
class EmulatedLink:
    """A link to ``target`` made slower by its sender, for studies on one machine."""

    target: str
    bytes_per_second: float
    rtt_seconds: float

    @classmethod
    def parse(cls, text: str) -> "EmulatedLink":
        """Read ``target=bytes_per_second,rtt_seconds``, for example ``edge=20e6,0.005``."""
        try:
            target, _, values = text.partition("=")
            bandwidth, _, rtt = values.partition(",")
            link = cls(target.strip(), float(bandwidth), float(rtt))
        except ValueError:
            link = cls("", 0, 0)
        if not (link.target and link.bytes_per_second > 0 and 0 <= link.rtt_seconds < math.inf):
            raise ValueError(f"{text!r} is not target=bytes_per_second,rtt_seconds, for example edge=20e6,0.005")
        return link


def _setting(default: Any, description: str) -> Any:
    return field(default=default, metadata={"help": description})


@dataclass(frozen=True)
class Settings:
    """Everything that can be set from outside; each field's help says what it is."""

    services: tuple[str, ...] = ()
    listen: str = _setting("", "host:port to serve on; port 0 takes a free one (default 127.0.0.1 and the usual port)")
    advertise: str = _setting("", "host:port under which other services reach this process (default: where it listens)")
    public_address: str = _setting("", "host:port under which clients reach this FrontEnd, where it differs")
    tensor_port: int = _setting(0, "port for tensors, beside gRPC's at the same host (0: a free one, -1: all by gRPC)")
    tensor_advertise_port: int = _setting(0, "port under which others reach that one, where it differs (0: the same)")
    data_directory: Path = _setting(Path("partita-data"), "where services keep state and servers their components")  # noqa: RUF009 - immutable
    registry: str = _setting("", "address of the Registry (default: this process, or 127.0.0.1 and its port)")
    model_pool: str = _setting("", "address of the ModelPool")
    model_profiler: str = _setting("", "address of the ModelProfiler")
    optimizer: str = _setting("", "address of the Optimizer")
    model_divider: str = _setting("", "address of the ModelDivider")
    server: str = _setting("device", "name of the server that this process belongs to")
    role: str = _setting("device", "role of that server: device, edge or cloud")
    threads: int = _setting(1, "processor threads of one model run")
    provider: str = _setting("CPUExecutionProvider", "ONNX Runtime execution provider")
    slowdown: float = _setting(1.0, "emulate a slower machine: model runs take this many times their real time")
    timing: TimingMethod = _setting("profiler", "how layers are timed: profiler, or layer-by-layer")  # noqa: RUF009 - immutable
    links: tuple[EmulatedLink, ...] = _setting((), "emulate slower links: target=bytes_per_second,rtt_seconds;…")
    link_budget: float = _setting(0.01, "largest share of its links' time for measuring them anew (0: never unasked)")
    memory_bytes: int = _setting(0, "memory that may hold weights (default: what the machine or container has)")
    compute_watts: float = _setting(0.0, "declared power while computing")
    transmit_watts: float = _setting(0.0, "declared power while sending to other servers")
    self_transmit_watts: float = _setting(0.0, "declared power while sending to itself")
    measure_power: bool = _setting(True, "read the machine's own meters (RAPL, NVML), where it has any")
    noise_modules: str = _setting("", "ModelProfiler: modules whose functions may measure noise, with commas")
    lease_seconds: float = _setting(6.0, "Registry: a service that is silent for this long is gone")
    model_limit_bytes: int = _setting(2**31 - 1, "largest model that is accepted")
    tensor_limit_bytes: int = _setting(2**30, "largest tensor that is accepted")
    cache_bytes: int = _setting(8 * 2**30, "Inferencer: most bytes of components kept on disk, for restarts")
    request_limit: int = _setting(64, "FrontEnd: most requests in flight at once")
    queue_limit: int = _setting(64, "FrontEnd: most requests that wait for their turn")
    retry_seconds: float = _setting(20.0, "FrontEnd: how long a request waits for a server that is gone")
    request_timeout_seconds: float = _setting(60.0, "FrontEnd: deadline of requests that bring none")
    metrics_listen: str = _setting("", "host:port where Prometheus reads this process's metrics (default: nowhere)")
    stop_with_stdin: bool = _setting(False, "true: stop when standard input closes, as it does when its owner dies")
    log_level: str = _setting("info", "debug, info, warning or error")
    log_format: str = _setting("json", "json or text")

    @property
    def runtime(self) -> RuntimeSettings:
        """How this server runs models."""
        return RuntimeSettings(self.threads, self.provider, self.slowdown, self.timing)

    @property
    def power(self) -> Power:
        """The declared watts of this server."""
        return Power(self.compute_watts, self.transmit_watts, self.self_transmit_watts, "declared")

    @property
    def listen_address(self) -> str:
        """Where to serve: as set, or loopback and the usual port of the first service."""
        return self.listen or f"127.0.0.1:{DEFAULT_PORTS[self.services[0]]}"

    def address_of(self, service: str, own_address: str) -> str:
        """Where ``service`` is reached: as set, in this very process, or on loopback and its usual port."""
        configured: str = getattr(self, service)
        if configured:
            return configured
        return own_address if service in self.services else f"127.0.0.1:{DEFAULT_PORTS[service]}"


def _links(text: str) -> tuple[EmulatedLink, ...]:
    return tuple(EmulatedLink.parse(part) for part in text.split(";") if part.strip())


def _timing(text: str) -> str:
    if text not in get_args(TimingMethod):
        raise ValueError(f"{text!r} is none of {', '.join(get_args(TimingMethod))}")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


_READERS = {
    "timing": _timing,
    "stop_with_stdin": _truth,
    "measure_power": _truth,
    "links": _links,
    "data_directory": Path,
    "memory_bytes": int,
    "threads": int,
}


def _flag(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """The reader, with its own words in argparse's error."""

    def read(text: str) -> Any:
        try:
            return reader(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def read_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Read settings for ``python -m services NAME… [--flag value]…``.

    Raises:
        InvalidArgumentError: an environment variable has an unusable value.
        SystemExit: as argparse does, for unusable flags.
    """
    names = (*GROUPS, *DEFAULT_PORTS)
    parser = argparse.ArgumentParser(
        prog="python -m services",
        description="Run one or more of Partita's services in this process.",
        epilog="Every flag can be given as environment variable PARTITA_FLAG_NAME instead.",
    )
    parser.add_argument("services", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    values: dict[str, Any] = {}
    for setting in dataclasses.fields(Settings)[1:]:
        reader: Any = _READERS.get(setting.name, type(setting.default))
        variable = f"PARTITA_{setting.name.upper()}"
        if variable in environment:
            try:
                values[setting.name] = reader(environment[variable])
            except ValueError as error:
                raise InvalidArgumentError(f"environment variable {variable}: {error}") from None
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=_flag(reader),
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=f"{setting.metadata['help']} [{setting.default}]".replace("%", "%%"),
        )
    flags = vars(parser.parse_args(arguments))
    chosen = [name for group in flags.pop("services") for name in GROUPS.get(group, (group,))]
    return Settings(services=tuple(dict.fromkeys(chosen)), **{**values, **flags})
