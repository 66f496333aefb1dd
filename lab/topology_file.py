"""Topology files: YAML, read strictly, with the place of every mistake."""

import itertools
import math
import re
from collections.abc import Callable, Hashable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from core.cluster import ROLES
from core.errors import InvalidDocumentError, PartitaError
from lab import units
from lab.topology import LabServer, Link, Shape, Topology
from lab.trace import read_trace

FORMAT = "partita/topology@1"

MOST_SERVERS = 200
"""As many as a lab has addresses for."""

PRESETS = Path(str(resources.files("lab"))) / "presets"

T = TypeVar("T")
_MISSING = object()


def presets() -> list[str]:
    """The names of the topologies that come with Partita."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def find_topology(name: str) -> Path:
    """The file of a preset, or the file itself.

    Raises:
        InvalidDocumentError: it is neither.
    """
    if name in presets():
        return PRESETS / f"{name}.yaml"
    if not Path(name).is_file():
        raise InvalidDocumentError(f"{name!r} is neither a file nor one of {', '.join(presets())}")
    return Path(name)


def load_topology(name: str) -> Topology:
    """Read a preset or a file.

    Raises:
        InvalidDocumentError: a value is wrong; the message begins with file and place.
        OSError: the file cannot be read.
    """
    path = find_topology(name)
    try:
        return read_topology(path.read_text(encoding="utf-8"), path.parent)
    except PartitaError as error:
        raise InvalidDocumentError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise InvalidDocumentError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None


def read_topology(text: str, directory: Path) -> Topology:
    """Read a topology; trace files are relative to ``directory``.

    Raises:
        InvalidDocumentError: a value is wrong; the message begins with its place.
    """
    try:
        raw = yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader that also refuses repeated keys
    except yaml.YAMLError as error:
        raise InvalidDocumentError("not YAML: " + " ".join(str(error).split())) from None
    fields = _Fields("the file", raw)
    if (found := fields.take("format", str)) != FORMAT:
        raise InvalidDocumentError(f"format is {found!r}; this version of Partita reads {FORMAT!r}")
    raw_servers = fields.take("servers", lambda value: _mapping("servers", value))
    raw_links = fields.take("links", lambda value: _list("links", value), [])
    fields.end()
    servers = tuple(_server(name, value) for name, value in raw_servers.items())
    if not 1 <= len(servers) <= MOST_SERVERS:
        raise InvalidDocumentError(f"servers: there are {len(servers)}; a lab has 1 to {MOST_SERVERS}")
    if servers[0].role != "device":
        raise InvalidDocumentError(
            f"servers: the first, {servers[0].name}, has the role {servers[0].role}; "
            "put the device, where requests start, first"
        )
    links = [link for place, value in enumerate(raw_links, 1) for link in _links(place, value, directory)]
    _check_links(links, [server.name for server in servers])
    return Topology(servers, tuple(links))


def _server(name: object, raw: Any) -> LabServer:
    place = f"servers.{name}"
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name == "control":
        raise InvalidDocumentError(
            f"{place}: a server's name has at most 31 lower-case letters, digits and dashes, "
            "begins with a letter, and is not 'control'"
        )
    fields = _Fields(place, {} if raw is None else raw)
    watts = _Fields(f"{place}.watts", fields.take("watts", lambda value: value, {}))
    server = LabServer(
        name,
        role=fields.take("role", lambda value: _choice(value, ROLES)),
        cores=fields.take("cores", _cores, ()),
        threads=fields.take("threads", lambda value: int(_number(value, least=1, whole=True)), 1),
        slowdown=fields.take("slowdown", lambda value: _number(value, least=1), 1.0),
        memory_bytes=fields.take("memory", units.size, 0),
        compute_watts=watts.take("compute", _number, 0.0),
        transmit_watts=watts.take("transmit", _number, 0.0),
        self_transmit_watts=watts.take("self_transmit", _number, 0.0),
        provider=fields.take("provider", lambda value: _choice(value, None), "CPUExecutionProvider"),
    )
    watts.end()
    fields.end()
    return server


def _links(position: int, raw: Any, directory: Path) -> list[Link]:
    place = f"links, entry {position}"
    fields = _Fields(place, raw)
    between = fields.take("between", lambda value: _list("between", value), None)
    source, target = fields.take("from", str, None), fields.take("to", str, None)
    if (between is None) == (source is None and target is None) or (source is None) != (target is None):
        raise InvalidDocumentError(f"{place}: give 'from' and 'to', or 'between' for both directions")
    trace = fields.take("trace", lambda value: read_trace(directory / str(value)), ())
    if trace:
        bandwidth, delay = trace[0].bytes_per_second, trace[0].delay_seconds
    else:
        bandwidth = fields.take("bandwidth", units.bandwidth)
        delay = fields.take("delay", units.duration, 0.0)
    jitter, loss = fields.take("jitter", units.duration, 0.0), fields.take("loss", units.share, 0.0)
    fields.end("; a trace has bandwidth and delay in its file" if trace else "")
    if jitter > min([delay, *(point.delay_seconds for point in trace)]):
        raise InvalidDocumentError(
            f"{place}: the jitter of {jitter * 1e3:g} ms exceeds the delay; a packet cannot be early"
        )
    shape = Shape(bandwidth, delay, jitter, loss)
    pairs = [(source, target)] if between is None else itertools.permutations(between, 2)
    return [Link(str(one), str(other), shape, trace) for one, other in pairs]


def _check_links(links: list[Link], servers: list[str]) -> None:
    seen: set[tuple[str, str]] = set()
    for link in links:
        for end in (link.source, link.target):
            if end not in servers:
                raise InvalidDocumentError(
                    f"link {link.name}: there is no server {end!r}; there are {', '.join(servers)}"
                )
        if link.source == link.target:
            raise InvalidDocumentError(f"link {link.name} ends where it begins; leave it out")
        if (link.source, link.target) in seen:
            raise InvalidDocumentError(f"link {link.name} is there twice; leave one out")
        seen.add((link.source, link.target))
    for source, target in sorted(seen):
        if (target, source) not in seen:
            raise InvalidDocumentError(
                f"link {source}:{target} has no way back, which every connection needs; add a link from {target} "
                f"to {source}"
            )


class _Fields:
    """A mapping whose fields are taken one by one; what is left at the end is unknown."""

    def __init__(self, place: str, raw: Any) -> None:
        self._place = place
        self._left = dict(_mapping(place, raw))
        self._known: list[str] = []

    def take(self, name: str, read: Callable[[Any], T], default: Any = _MISSING) -> Any:
        """The field's value as ``read`` makes it, or the default."""
        self._known.append(name)
        if name not in self._left:
            if default is _MISSING:
                raise InvalidDocumentError(f"{self._place}: {name!r} is missing")
            return default
        try:
            return read(self._left.pop(name))
        except PartitaError as error:
            raise InvalidDocumentError(f"{self._place}: {name}: {error}") from None
        except OSError as error:
            raise InvalidDocumentError(f"{self._place}: {name}: {error.filename}: {error.strerror}") from None

    def end(self, hint: str = "") -> None:
        """Refuse fields that nobody took."""
        for name in self._left:
            known = ", ".join(self._known)
            raise InvalidDocumentError(f"{self._place}: unknown field {name!r}; known are {known}{hint}")


class _StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Compared as written, before merge keys (<<) bring in others.
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {key!r} is there more than once")
        return super().construct_mapping(node, deep)


def _mapping(place: str, raw: Any) -> dict[Any, Any]:
    if not isinstance(raw, dict):
        raise InvalidDocumentError(f"{place}: expected fields, got {raw!r}")
    return raw


def _list(place: str, raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise InvalidDocumentError(f"expected a list, got {raw!r}; write for example {place}: [a, b]")
    return raw


def _choice(raw: Any, choices: tuple[str, ...] | None) -> str:
    if not isinstance(raw, str) or (choices is not None and raw not in choices):
        raise InvalidDocumentError(f"{raw!r} is " + (f"none of {', '.join(choices)}" if choices else "no text"))
    return raw


def _number(raw: Any, least: float = 0.0, whole: bool = False) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int if whole else (int, float)) or not math.isfinite(raw):
        raise InvalidDocumentError(f"{raw!r} is not a {'whole ' if whole else ''}number")
    if raw < least:
        raise InvalidDocumentError(f"{raw!r} is below {least:g}")
    return float(raw)


def _cores(raw: Any) -> tuple[int, ...]:
    cores = tuple(int(_number(core, whole=True)) for core in _list("cores", raw))
    if not cores or len(set(cores)) != len(cores):
        raise InvalidDocumentError(f"{raw!r} is empty or names a core twice; leave 'cores' out to allow all")
    return cores
