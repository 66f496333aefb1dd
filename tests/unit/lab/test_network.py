from collections import Counter
from ipaddress import ip_address, ip_network

from lab.link_queue import QUEUE_SECONDS
from lab.network import LABS, Network
from lab.tc import shape_commands
from lab.topology import LabServer, Link, Shape, Topology
from lab.topology_file import load_topology

TOPOLOGY = load_topology("thesis")
NETWORK = Network("lab", 0, TOPOLOGY)


def lines(commands: list[list[str]]) -> list[str]:
    return [" ".join(command) for command in commands]


def test_only_one_interface_is_outside_the_namespaces() -> None:
    commands = NETWORK.base_commands() + NETWORK.relay_commands() + NETWORK.veth_commands()
    outside = [command for command in lines(commands) if command.startswith("ip link add")]
    assert outside == ["ip link add plab-lab type veth peer name root netns plab-lab-control"]
    assert len(NETWORK.root_interface) <= 15
    made = [command[3] for command in commands if command[:3] == ["ip", "netns", "add"]]
    assert sorted(made) == ["plab-lab-cloud", "plab-lab-control", "plab-lab-device", "plab-lab-edge"]


def test_every_address_of_every_lab_is_its_own() -> None:
    many = Topology(tuple(LabServer(f"s{number}", "device") for number in range(200)))
    found: Counter[str] = Counter()
    for index in (0, 1, 63, 64, LABS - 1):
        network = Network("lab", index, many)
        found.update([network.root_address, network.control_address])
        found.update(network.address(server.name) for server in many.servers)
        found.update(network.switch_address(server.name) for server in many.servers)
    assert max(found.values()) == 1
    tests_only = ip_network("198.18.0.0/15")
    assert all(ip_address(address) in tests_only for address in found)


def test_servers_reach_each_other_by_the_relay_or_by_a_pair_of_their_own() -> None:
    relayed = lines(NETWORK.relay_commands())
    assert "ip -n plab-lab-edge route add 198.18.1.0/24 dev links src 198.18.1.11" in relayed
    paired = lines(NETWORK.veth_commands())
    pairs = [line for line in paired if " type veth " in line]
    assert len(pairs) == 3
    assert "ip -n plab-lab-device link add to-1 type veth peer name to-0 netns plab-lab-edge" in pairs
    assert "ip -n plab-lab-edge route add 198.18.1.10/32 dev to-0 src 198.18.1.11" in paired


def test_servers_without_a_link_do_not_reach_each_other() -> None:
    servers = tuple(LabServer(name, "device") for name in "abc")
    topology = Topology(servers, (Link("a", "b", Shape(1e6)), Link("b", "a", Shape(1e6))))
    network = Network("lab", 0, topology)
    paired = lines(network.veth_commands())
    assert not [line for line in paired if "plab-lab-c" in line and "to-" in line]
    refused = [line for line in lines(network.relay_commands()) if "unreachable" in line]
    assert refused == [
        "ip -n plab-lab-a route add unreachable 198.18.1.12/32",
        "ip -n plab-lab-b route add unreachable 198.18.1.12/32",
        "ip -n plab-lab-c route add unreachable 198.18.1.10/32",
        "ip -n plab-lab-c route add unreachable 198.18.1.11/32",
    ]


def test_tc_limits_the_rate_and_netem_delays() -> None:
    delay, limit = lines(shape_commands("space", "to-1", Shape(5e6, 0.0025, 0.001, 0.005), netem=True))
    assert delay == (
        "tc -n space qdisc replace dev to-1 root handle 1: netem limit 1000000 delay 2500us 1000us loss 0.5000%"
    )
    assert limit.startswith("tc -n space qdisc replace dev to-1 parent 1:1 handle 10: tbf rate 40000000bit burst ")
    assert limit.endswith(f" limit {5e6 * QUEUE_SECONDS:.0f}")


def test_without_netem_the_rate_is_all() -> None:
    (limit,) = lines(shape_commands("space", "to-1", Shape(100e6), netem=False))
    assert limit.startswith("tc -n space qdisc replace dev to-1 root handle 1: tbf rate 800000000bit ")
    assert limit.endswith(" burst 100000 limit 10000000")
