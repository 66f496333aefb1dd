from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cluster import Member
from core.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from core.profiles import Power, ServerState
from registry.membership import Membership

EDGE = Member("edge", "edge", "inferencer", "10.0.0.2:50063", "", "i1")
MONITOR = replace(EDGE, service="server_monitor", address="10.0.0.2:50062", instance="m1")
STATE = ServerState("edge", "f1", "a machine", "kernel", 10, 5, 0.5, Power(1.0, 2.0))


class Time:
    now = 0.0

    def clock(self) -> float:
        return self.now


class Fixture:
    def __init__(self) -> None:
        self.time = Time()
        self.changes = 0
        self.membership = Membership(6.0, self.changed, self.time.clock)

    def changed(self) -> None:
        self.changes += 1


@pytest.fixture
def at() -> Fixture:
    return Fixture()


def test_services_make_up_a_server(at: Fixture) -> None:
    assert at.membership.register(EDGE) == 6.0
    at.membership.register(MONITOR)
    at.membership.register(replace(EDGE, service="front_end", public_address="example.org:1", instance="f1"))
    (server,) = at.membership.servers()
    assert (server.name, server.role, server.state) == ("edge", "edge", None)
    assert server.services == {
        "front_end": "10.0.0.2:50063",
        "inferencer": "10.0.0.2:50063",
        "server_monitor": "10.0.0.2:50062",
    }
    assert server.public_front_end_address == "example.org:1"


def test_devices_come_first_then_by_name(at: Fixture) -> None:
    for index, (name, role) in enumerate([("z", "cloud"), ("b", "edge"), ("a", "edge"), ("y", "device")]):
        at.membership.register(Member(name, role, "inferencer", "h:1", "", str(index)))
    assert [server.name for server in at.membership.servers()] == ["y", "a", "b", "z"]


def test_a_silent_member_is_gone_and_must_register_again(at: Fixture) -> None:
    at.membership.register(EDGE)
    at.time.now = 5.9
    at.membership.renew("i1")
    at.time.now = 11.8
    assert at.membership.servers()
    at.time.now = 11.9
    assert not at.membership.servers()
    with pytest.raises(NotFoundError, match="register again"):
        at.membership.renew("i1")
    at.membership.register(EDGE)
    assert at.membership.servers()


def test_a_new_instance_replaces_the_old_one(at: Fixture) -> None:
    at.membership.register(EDGE)
    at.membership.register(replace(EDGE, address="10.0.0.2:60000", instance="i2"))
    (server,) = at.membership.servers()
    assert server.services == {"inferencer": "10.0.0.2:60000"}
    with pytest.raises(NotFoundError):
        at.membership.renew("i1")
    at.membership.deregister("i1")
    assert at.membership.servers() == (server,)


def test_registering_twice_changes_only_the_lease(at: Fixture) -> None:
    at.membership.register(EDGE)
    at.time.now = 5.0
    at.membership.register(EDGE)
    at.time.now = 10.0
    assert len(at.membership.servers()) == 1


def test_the_last_service_takes_its_server_with_it(at: Fixture) -> None:
    at.membership.register(EDGE)
    at.membership.register(MONITOR)
    at.membership.deregister("i1")
    assert len(at.membership.servers()) == 1
    at.membership.deregister("m1")
    assert at.membership.servers() == ()


def test_the_state_is_the_newest_and_leaves_with_the_monitor(at: Fixture) -> None:
    at.membership.register(EDGE)
    at.membership.register(MONITOR)
    at.membership.renew("m1", STATE)
    at.membership.renew("m1", replace(STATE, load=0.9))
    at.membership.renew("m1")
    assert at.membership.servers()[0].state == replace(STATE, load=0.9)
    at.membership.deregister("m1")
    assert at.membership.servers()[0].state is None


def test_the_state_of_another_server_is_refused(at: Fixture) -> None:
    at.membership.register(MONITOR)
    with pytest.raises(InvalidArgumentError, match="'edge' reported the state of 'cloud'"):
        at.membership.renew("m1", replace(STATE, name="cloud"))


def test_one_name_has_one_role(at: Fixture) -> None:
    at.membership.register(EDGE)
    with pytest.raises(FailedPreconditionError, match=r"'edge' cannot be cloud: its inferencer .* says it is edge"):
        at.membership.register(replace(MONITOR, role="cloud"))
    assert at.membership.servers()[0].role == "edge"
    at.membership.register(replace(EDGE, role="cloud", instance="i2"))
    assert at.membership.servers()[0].role == "cloud"


@pytest.mark.parametrize(
    ("field", "value"),
    [("role", "fog"), ("role", ""), ("service", "deployer"), ("server", ""), ("address", ""), ("instance", "")],
)
def test_unusable_members_are_refused(at: Fixture, field: str, value: str) -> None:
    with pytest.raises(InvalidArgumentError, match=value or field):
        at.membership.register(replace(EDGE, **{field: value}))
    assert at.changes == 0


def test_only_lasting_changes_are_told(at: Fixture) -> None:
    told = []

    def step() -> None:
        told.append(at.changes)
        at.changes = 0

    at.membership.register(MONITOR)
    step()
    at.membership.renew("m1")
    step()
    at.membership.renew("m1", STATE)
    step()
    at.membership.renew("m1", replace(STATE, load=0.1, available_memory_bytes=1))
    step()
    at.membership.renew("m1", replace(STATE, fingerprint="f2"))
    step()
    at.time.now = 100.0
    at.membership.expire()
    step()
    at.membership.expire()
    at.membership.deregister("m1")
    step()
    assert told == [1, 0, 1, 0, 1, 1, 0]


def test_a_lease_must_last() -> None:
    with pytest.raises(InvalidArgumentError, match="lease_seconds 0"):
        Membership(0, lambda: None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["register", "renew", "deregister", "wait"]),
            st.integers(0, 2),
            st.sampled_from(["inferencer", "front_end"]),
            st.integers(0, 3),
            st.floats(0, 7),
        )
    )
)
def test_a_service_has_at_most_one_live_address(steps: list[tuple[str, int, str, int, float]]) -> None:
    """Against the plainest possible model: for each server and service the last registration and its lease's end."""
    at = Fixture()
    expected: dict[tuple[str, str], tuple[str, float]] = {}
    for action, server, service, number, seconds in steps:
        key, instance = (f"s{server}", service), f"{server}-{service}-{number}"
        alive = key in expected and expected[key][0] == instance and expected[key][1] > at.time.now
        if action == "wait":
            at.time.now += seconds
        elif action == "register":
            at.membership.register(Member(*(key[0], "edge", service), f"host:{number}", "", instance))
            expected[key] = (instance, at.time.now + 6.0)
        elif action == "deregister":
            at.membership.deregister(instance)
            if alive:
                del expected[key]
        elif alive:
            at.membership.renew(instance)
            expected[key] = (instance, at.time.now + 6.0)
        else:
            with pytest.raises(NotFoundError):
                at.membership.renew(instance)
        live = {
            (record.name, name): address.replace("host:", f"{record.name[1:]}-{name}-")
            for record in at.membership.servers()
            for name, address in record.services.items()
        }
        assert live == {key: instance for key, (instance, end) in expected.items() if end > at.time.now}
