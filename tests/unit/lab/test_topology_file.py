from pathlib import Path

import pytest

from core.documents import dumps, loads
from core.errors import InvalidDocumentError
from lab.topology import LabServer, Link, Shape, Topology, TracePoint
from lab.topology_file import load_topology, presets, read_topology

HEAD = "format: partita/topology@1\n"
SERVERS = "servers: {a: {role: device}, b: {role: edge}}\n"
BOTH = HEAD + SERVERS + "links:\n- {between: [a, b], bandwidth: 1MB/s"


def test_everything_is_read(tmp_path: Path) -> None:
    (tmp_path / "up.csv").write_text("seconds,bandwidth,delay\n0,2MB/s,20ms\n9,1MB/s,30ms\n")
    text = (
        HEAD
        + """
servers:
  pi:
    role: device
    cores: [0, 2]
    threads: 2
    slowdown: 8
    memory: 1GiB
    watts: {compute: 3, transmit: 2.5, self_transmit: 0.1}
    provider: OpenVINOExecutionProvider
  box: {role: edge}
links:
  - {from: pi, to: box, trace: up.csv, jitter: 2ms, loss: 1%}
  - {from: box, to: pi, bandwidth: 40Mbit/s, delay: 20ms}
"""
    )
    assert read_topology(text, tmp_path) == Topology(
        (
            LabServer("pi", "device", (0, 2), 2, 8.0, 2**30, 3.0, 2.5, 0.1, "OpenVINOExecutionProvider"),
            LabServer("box", "edge"),
        ),
        (
            Link("pi", "box", Shape(2e6, 0.02, 0.002, 0.01), (TracePoint(0, 2e6, 0.02), TracePoint(9, 1e6, 0.03))),
            Link("box", "pi", Shape(5e6, 0.02)),
        ),
    )


def test_between_is_every_pair_in_both_directions() -> None:
    text = HEAD + "servers: {a: {role: device}, b: {role: edge}, c: {role: edge}}\n"
    read = read_topology(text + "links: [{between: [a, b, c], bandwidth: 1MB/s}]", Path())
    assert [link.name for link in read.links] == ["a:b", "a:c", "b:a", "b:c", "c:a", "c:b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not YAML: "),
        ("5", "the file: expected fields, got 5"),
        ("format: 3", "format is '3'; this version of Partita reads 'partita/topology@1'"),
        (HEAD, "the file: 'servers' is missing"),
        (HEAD + "servers: {}", "there are 0; a lab has 1 to 200"),
        (HEAD + SERVERS + "color: red", "unknown field 'color'; known are format, servers, links"),
        (HEAD + "servers: {a: {role: boss}}", "servers.a: role: 'boss' is none of device, edge, cloud"),
        (HEAD + "servers: {a: {role: edge}}", "the first, a, has the role edge; put the device"),
        (HEAD + "servers: {A: {role: device}}", "servers.A: a server's name has at most 31 lower-case letters"),
        (HEAD + "servers: {control: {role: device}}", "is not 'control'"),
        (HEAD + "servers: {a: {}}", "servers.a: 'role' is missing"),
        (HEAD + "servers: {a: {role: device}, a: {role: edge}}", "line 2: 'a' is there more than once"),
        (HEAD + "servers: {a: {role: device, cores: 1}}", "cores: expected a list, got 1"),
        (HEAD + "servers: {a: {role: device, cores: [1, 1]}}", "[1, 1] is empty or names a core twice"),
        (HEAD + "servers: {a: {role: device, threads: 0}}", "servers.a: threads: 0 is below 1"),
        (HEAD + "servers: {a: {role: device, threads: 1.5}}", "threads: 1.5 is not a whole number"),
        (HEAD + "servers: {a: {role: device, slowdown: 0.5}}", "slowdown: 0.5 is below 1"),
        (HEAD + "servers: {a: {role: device, memory: 4}}", "memory: 4 has no unit; write for example 512MiB"),
        (HEAD + "servers: {a: {role: device, watts: 3}}", "servers.a.watts: expected fields, got 3"),
        (HEAD + "servers: {a: {role: device, watts: {compute: -1}}}", "servers.a.watts: compute: -1 is below 0"),
        (HEAD + SERVERS + "links: [{from: a, bandwidth: 1MB/s}]", "links, entry 1: give 'from' and 'to', or"),
        (HEAD + SERVERS + "links: [{from: a, to: b}]", "links, entry 1: 'bandwidth' is missing"),
        (HEAD + SERVERS + "links: [{from: a, to: b, bandwidth: 1MB/s}]", "link a:b has no way back"),
        (HEAD + SERVERS + "links: [{between: [a, c], bandwidth: 1MB/s}]", "there is no server 'c'; there are a, b"),
        (HEAD + SERVERS + "links: [{from: a, to: a, bandwidth: 1MB/s}]", "link a:a ends where it begins"),
        (BOTH + "}\n- {from: a, to: b, bandwidth: 1MB/s}", "link a:b is there twice"),
        (BOTH + ", delay: 5ms, jitter: 6ms}", "the jitter of 6 ms exceeds the delay"),
        (BOTH + ", speed: 3}", "unknown field 'speed'"),
        (BOTH + ", delay: 5}", "links, entry 1: delay: 5 has no unit; write for example 2.5ms"),
        (HEAD + SERVERS + "links: [{between: [a, b], trace: no.csv}]", "trace: no.csv: No such file"),
    ],
)
def test_what_is_wrong_is_said_with_place_value_and_remedy(text: str, words: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        read_topology(text, Path())
    assert words in str(caught.value)


def test_a_trace_and_a_bandwidth_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "up.csv").write_text("seconds,bandwidth,delay\n0,2MB/s,20ms\n")
    text = HEAD + SERVERS + "links: [{between: [a, b], trace: up.csv, bandwidth: 1MB/s}]"
    with pytest.raises(InvalidDocumentError, match="a trace has bandwidth and delay in its file"):
        read_topology(text, tmp_path)


def test_a_file_that_is_none_names_the_presets(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocumentError, match="neither a file nor one of 4g, eight-pis, lan, thesis, two-pis"):
        load_topology("thesys")
    (tmp_path / "wrong.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidDocumentError, match="not UTF-8"):
        load_topology(str(tmp_path / "wrong.yaml"))


@pytest.mark.parametrize("name", presets())
def test_presets_read_well_and_survive_the_state_file(name: str) -> None:
    topology = load_topology(name)
    assert loads(dumps(topology), Topology) == topology


def test_the_thesis_is_as_its_tables_say() -> None:
    thesis = load_topology("thesis")
    rates = {link.source: link.shape.bytes_per_second for link in thesis.links}
    assert rates == {"device": 5e6, "edge": 20e6, "cloud": 100e6}
    round_trips = {
        link.name: link.shape.delay_seconds + thesis.link(f"{link.target}:{link.source}").shape.delay_seconds
        for link in thesis.links
    }
    assert round_trips["device:edge"] == pytest.approx(0.005)
    assert round_trips["device:cloud"] == pytest.approx(0.055)
    assert round_trips["edge:cloud"] == pytest.approx(0.05)


def test_eight_pis_are_all_linked() -> None:
    assert len(load_topology("eight-pis").links) == 8 * 7
