"""A lab's namespaces, addresses and interfaces, as commands that make them.

Every server is a namespace. A further one, ``control``, holds the control services, the lab's own processes and a
switch, over which it and the machine itself reach all servers, unshaped. Nothing but one interface is outside these
namespaces, and that ends with them: taking a lab down is deleting its namespaces.
"""

from dataclasses import dataclass

from lab.topology import Topology

PREFIX = "plab"
"""Of all namespaces and of the interface in the machine's own namespace."""

CONTROL = "control"

LINK_DEVICE = "links"
"""The relay's device in each server, over which all its links go."""

LABS = 128
"""As many labs fit on a machine: each has four of the 512 networks that RFC 2544 keeps for tests."""

TCP_SETTINGS = {
    # A link is full only with as many bytes under way as it holds: 100 MB/s for 55 ms and a queue are over 10 MB.
    "net.ipv4.tcp_wmem": "4096 65536 67108864",
    "net.ipv4.tcp_rmem": "4096 131072 67108864",
    # TCP would begin anew, slowly, after every pause between requests.
    "net.ipv4.tcp_slow_start_after_idle": "0",
    # The machine and the control services come by the switch, and their answers leave there.
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}

Command = list[str]


@dataclass(frozen=True)
class Network:
    """The names and addresses of one lab.

    Attributes:
        name: of the lab, at most ten lower-case letters and digits.
        index: which of the machine's labs it is, 0 to ``LABS`` − 1; its addresses follow from it.
        topology: what it consists of.
    """

    name: str
    index: int
    topology: Topology

    @property
    def root_address(self) -> str:
        """Of the machine itself."""
        return self._address(0, 1)

    @property
    def control_address(self) -> str:
        """Of the control services."""
        return self._address(0, 2)

    @property
    def root_interface(self) -> str:
        """The machine's own interface into the lab."""
        return root_interface(self.name)

    def namespace(self, server: str) -> str:
        """The namespace of a server, or of ``CONTROL``."""
        return namespace_prefix(self.name) + server

    def address(self, server: str) -> str:
        """Under which everybody reaches a server; servers do so over their links."""
        return self._address(1, 10 + self.topology.position(server))

    def switch_address(self, server: str) -> str:
        """Under which the switch reaches a server."""
        return self._address(0, 10 + self.topology.position(server))

    def link_interface(self, target: str) -> str:
        """The interface towards ``target`` where links are veth pairs."""
        return f"to-{self.topology.position(target)}"

    def _address(self, network: int, host: int) -> str:
        networks = 4 * self.index + network
        return f"198.{18 + networks // 256}.{networks % 256}.{host}"

    def base_commands(self) -> list[Command]:
        """Make all namespaces and the switch that control services and the machine reach servers over."""
        control = self.namespace(CONTROL)
        commands = [command for name in self._all() for command in _namespace(self.namespace(name))]
        commands += [
            _ip(control, "link add switch type bridge"),
            _ip(control, f"address add {self.control_address}/24 dev switch"),
            _ip(control, "link set dev switch up"),
            f"ip link add {self.root_interface} type veth peer name root netns {control}".split(),
            f"ip address add {self.root_address}/24 dev {self.root_interface}".split(),
            f"ip link set dev {self.root_interface} up".split(),
            _ip(control, "link set dev root master switch up"),
        ]
        for position, server in enumerate(self.topology.servers):
            inside = self.namespace(server.name)
            switch = self.switch_address(server.name)
            commands += [
                _ip(control, f"link add port-{position} type veth peer name switch netns {inside}"),
                _ip(control, f"link set dev port-{position} master switch up"),
                _ip(inside, f"address add {switch}/24 dev switch"),
                _ip(inside, "link set dev switch up"),
                _ip(control, f"route add {self.address(server.name)}/32 via {switch}"),
                f"ip route add {self.address(server.name)}/32 via {switch} dev {self.root_interface}".split(),
            ]
        return commands

    def relay_commands(self) -> list[Command]:
        """Lead all traffic between servers to the relay's devices, which must exist."""
        commands = []
        for server in self.topology.servers:
            inside, address = self.namespace(server.name), self.address(server.name)
            commands += [
                _ip(inside, f"address add {address}/32 dev {LINK_DEVICE}"),
                _ip(inside, f"link set dev {LINK_DEVICE} txqueuelen 2000 up"),
                _ip(inside, f"route add {self._address(1, 0)}/24 dev {LINK_DEVICE} src {address}"),
            ]
            # Known at once, where otherwise every connection would wait in vain.
            targets = {link.target for link in self.topology.links if link.source == server.name} | {server.name}
            for other in self.topology.servers:
                if other.name not in targets:
                    commands.append(_ip(inside, f"route add unreachable {self.address(other.name)}/32"))
        return commands

    def veth_commands(self) -> list[Command]:
        """Make a veth pair for every two servers that are linked."""
        commands = [
            _ip(self.namespace(server.name), f"address add {self.address(server.name)}/32 dev lo")
            for server in self.topology.servers
        ]
        for link in self.topology.links:
            source, target = self.namespace(link.source), self.namespace(link.target)
            out, back = self.link_interface(link.target), self.link_interface(link.source)
            # A link comes with its way back, and both with one pair.
            if self.topology.position(link.source) < self.topology.position(link.target):
                commands.append(_ip(source, f"link add {out} type veth peer name {back} netns {target}"))
        for link in self.topology.links:
            source, out = self.namespace(link.source), self.link_interface(link.target)
            commands += [
                _ip(source, f"link set dev {out} up"),
                _ip(source, f"route add {self.address(link.target)}/32 dev {out} src {self.address(link.source)}"),
            ]
        return commands

    def _all(self) -> list[str]:
        return [CONTROL, *(server.name for server in self.topology.servers)]


def namespace_prefix(lab: str) -> str:
    """What the names of a lab's namespaces begin with; no other lab's do."""
    return f"{PREFIX}-{lab}-"


def root_interface(lab: str) -> str:
    """The machine's own interface into a lab."""
    return f"{PREFIX}-{lab}"


def _namespace(name: str) -> list[Command]:
    settings = [f"{key}={value}" for key, value in TCP_SETTINGS.items()]
    return [
        ["ip", "netns", "add", name],
        ["ip", "netns", "exec", name, "sysctl", "-qw", *settings],
        _ip(name, "link set dev lo up"),
    ]


def _ip(namespace: str, words: str) -> Command:
    return ["ip", "-n", namespace, *words.split()]
