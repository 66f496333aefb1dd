from core.cluster import SERVER_SERVICES, Cluster, ServerRecord
from core.errors import ServerUnavailableError
from core.profiles import MeasuredLink, Power, ServerState
from core.version import partita_version
from partita.doctor import Finding, about_cluster, about_server, installation
from services.clients.server_monitor import Sighting

STATE = ServerState("edge", "f1", "a fine machine", "kernel", 10, 5, 0.1, Power(1.0, 2.0))
SERVICES = dict.fromkeys(SERVER_SERVICES, "127.0.0.1:1")
EDGE = ServerRecord("edge", "edge", SERVICES, STATE)


def findings(seen: Sighting | ServerUnavailableError, server: ServerRecord = EDGE) -> list[Finding]:
    return list(about_server(server, seen))


def test_a_server_without_a_fault() -> None:
    assert findings(Sighting(STATE, partita_version(), 0.002, 0.0005)) == [
        Finding("server edge", "fine", "a fine machine; answers in 2.00 ms")
    ]


def test_a_clock_is_wrong_only_beyond_what_the_round_trip_explains() -> None:
    assert len(findings(Sighting(STATE, partita_version(), 3.0, 1.2))) == 1
    fine, skewed = findings(Sighting(STATE, partita_version(), 0.01, -1.2))
    assert (fine.verdict, skewed.verdict, skewed.text) == ("fine", "note", "its clock is 1.20 s off")


def test_another_version_a_busy_processor_and_missing_services() -> None:
    busy = ServerState("edge", "f1", "a fine machine", "kernel", 10, 5, 0.8, Power(1.0, 2.0))
    without = {name: address for name, address in SERVICES.items() if name not in ("front_end", "inferencer")}
    found = findings(Sighting(busy, "0.0.1", 0.01, 0.0), ServerRecord("edge", "edge", without, busy))
    assert [(one.verdict, one.text) for one in found] == [
        ("wrong", "has no inferencer, front_end"),
        ("fine", "a fine machine; answers in 10.0 ms"),
        ("wrong", f"has Partita 0.0.1, here is {partita_version()}"),
        ("note", "its processors are 80% busy"),
    ]
    assert all(one.advice for one in found if one.verdict != "fine")
    only_edge = {name: address for name, address in SERVICES.items() if name != "front_end"}
    first, _ = findings(Sighting(STATE, partita_version(), 0.01, 0.0), ServerRecord("edge", "edge", only_edge, STATE))
    assert first.verdict == "note"


def test_a_server_that_cannot_be_asked() -> None:
    (only,) = findings(ServerUnavailableError("no route"))
    assert (only.verdict, only.text) == ("note", "cannot be asked from here: no route")


def test_links_that_are_missing_or_old() -> None:
    servers = (EDGE, ServerRecord("cloud", "cloud", SERVICES, STATE))

    def link(source: str, target: str, measured_at: float) -> MeasuredLink:
        return MeasuredLink(source, target, 1e6, 0.01, measured_at=measured_at)

    (missing,) = about_cluster(Cluster(servers, (link("edge", "cloud", 9_000.0),)), 10_000.0)
    assert missing.text == "not measured: cloud → edge"
    (old,) = about_cluster(Cluster(servers, (link("edge", "cloud", 9_000.0), link("cloud", "edge", 1_000.0))), 10_000.0)
    assert old.text == "measured long ago: cloud → edge (2 h)"
    (fine,) = about_cluster(
        Cluster(servers, (link("edge", "cloud", 9_000.0), link("cloud", "edge", 9_999.0))), 10_000.0
    )
    assert fine.verdict == "fine"


def test_a_cluster_without_servers_or_without_a_front_end() -> None:
    (empty,) = about_cluster(Cluster(), 0.0)
    assert (empty.verdict, empty.text) == ("wrong", "no server has registered")
    (silent,) = about_cluster(Cluster((ServerRecord("edge", "edge", {"inferencer": "x"}, STATE),)), 0.0)
    assert (silent.verdict, silent.text) == ("wrong", "no server has a FrontEnd")


def test_the_installation_is_described() -> None:
    first, *rest = installation()
    assert first.text.startswith(f"Partita {partita_version()}, Python 3.")
    assert any("ONNX Runtime" in one.text for one in rest)
    assert all(one.verdict != "wrong" for one in rest)
