"""The layout of a playground: names, addresses, directories. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from shoal.errors import Fault, InvalidInput
from shoal.rpc.host_port import HostPort

MAX_HOSTS = 32
MAX_MANAGERS = 7
SUBNET = IPv4Network("198.18.0.0/24")
NAME_CHARACTERS = 8
"""Interface names end at 15 bytes (IFNAMSIZ), and ours add up to seven."""

API_PORT = 7440
JOIN_PORT = 7442
REGISTRY_PORT = 5000

_PREFIX6 = int(IPv6Address("fd70:6c61::"))
"""Of the LAN's IPv6 subnet (RFC 4193); its next 24 bits are the other subnet's, so that playgrounds differ."""


@dataclass(frozen=True)
class PlaygroundHost:
    """A simulated host: a network namespace with an agent.

    Attributes:
        name: its host name, "h1".
        namespace: of the network, as in `ip netns`.
        link: the end of its cable in the LAN's namespace.
        state: directory of the agent's state.
        run: directory for the agent's tmpfs.
        log: file of the agent's output.
    """

    name: str
    namespace: str
    link: str
    address: IPv4Address
    state: Path
    run: Path
    log: Path


@dataclass(frozen=True)
class Layout:
    """A playground's plan.

    Attributes:
        name: at most 8 characters; tells playgrounds on one machine apart.
        hosts: how many hosts, 1 to 32.
        subnet: the underlay's, a /24. The default is of the range that RFC 2544 sets aside for test networks, so it
            hides no real one.
        state_root: holds one directory a playground.
        run_root: on a file system of the machine; every agent mounts a tmpfs below it.
        ipv6: hosts and manager reach each other by their IPv6 addresses.
        managers: 1 to 7; the first one is in the LAN's namespace, each other one in a namespace of its own.
    """

    name: str = "shoal"
    hosts: int = 3
    subnet: IPv4Network = SUBNET
    state_root: Path = Path("/var/lib/shoal-playground")
    run_root: Path = Path("/run/shoal-playground")
    ipv6: bool = False
    managers: int = 1

    def __post_init__(self) -> None:
        faults = []
        if not (self.name.isascii() and self.name.isalnum() and len(self.name) <= NAME_CHARACTERS):
            faults.append(Fault("name", f"{self.name!r} must be 1 to {NAME_CHARACTERS} letters and digits"))
        if not 1 <= self.hosts <= MAX_HOSTS:
            faults.append(Fault("hosts", f"{self.hosts} must be between 1 and {MAX_HOSTS}"))
        if not 1 <= self.managers <= MAX_MANAGERS:
            faults.append(Fault("managers", f"{self.managers} must be between 1 and {MAX_MANAGERS}"))
        if self.subnet.prefixlen != 24:
            faults.append(Fault("subnet", f"{self.subnet} must be a /24"))
        if faults:
            raise InvalidInput(faults)

    @property
    def lan(self) -> str:
        """The namespace with the underlay's bridge, the manager and the registry."""
        return f"{self.name}-lan"

    @property
    def uplink(self) -> str:
        """The link by which this machine reaches the underlay."""
        return f"{self.name}-up"

    @property
    def manager_address(self) -> IPv4Address:
        return self.subnet[1]

    @property
    def uplink_address(self) -> IPv4Address:
        return self.subnet[254]

    @property
    def subnet6(self) -> IPv6Network:
        """Of the underlay too, where the machine's kernel has IPv6."""
        return IPv6Network((_PREFIX6 | int(self.subnet.network_address) << 64, 64))

    def address6(self, address: IPv4Address) -> IPv6Address:
        """The IPv6 address beside one of the underlay's others."""
        return self.subnet6[int(address) - int(self.subnet.network_address)]

    def advertised_address(self, address: IPv4Address) -> str:
        """By which one of its addresses others reach a machine."""
        return str(self.address6(address) if self.ipv6 else address)

    @property
    def state(self) -> Path:
        return self.state_root / self.name

    @property
    def run(self) -> Path:
        return self.run_root / self.name

    @property
    def engine_socket(self) -> Path:
        """Where Docker's clients on this machine reach the cluster."""
        return self.run / "engine.sock"

    @property
    def console_address_file(self) -> Path:
        """Where the web console writes its address, with a token, for its owner alone."""
        return self.run / "console.address"

    @property
    def manager_state(self) -> Path:
        return self.state / "manager"

    @property
    def registry_state(self) -> Path:
        return self.state / "registry"

    @property
    def registries_file(self) -> Path:
        """How every part reaches `registry:5000`."""
        return self.state / "registries.toml"

    @property
    def monitoring_token_file(self) -> Path:
        """With which metrics of managers and agents are read."""
        return self.state / "monitoring-token"

    @property
    def api(self) -> str:
        return str(HostPort(self.advertised_address(self.manager_address), API_PORT))

    @property
    def join(self) -> str:
        return str(HostPort(self.advertised_address(self.manager_address), JOIN_PORT))

    def host(self, number: int) -> PlaygroundHost:
        """The host of this number, from 1."""
        return self._host(f"h{number}", self.subnet[10 + number])

    def manager_host(self, number: int) -> PlaygroundHost:
        """The host of the manager of this number, from 2; no agent runs on it."""
        return self._host(f"m{number}", self.subnet[number])

    def _host(self, name: str, address: IPv4Address) -> PlaygroundHost:
        return PlaygroundHost(
            name=name,
            namespace=f"{self.name}-{name}",
            link=f"{self.name}-{name}",
            address=address,
            state=self.state / name,
            run=self.run / name,
            log=self.state / "logs" / f"{name}.log",
        )

    def all_hosts(self) -> tuple[PlaygroundHost, ...]:
        return tuple(self.host(number) for number in range(1, self.hosts + 1))

    def other_managers(self) -> tuple[PlaygroundHost, ...]:
        """Hosts of the managers beside the first one."""
        return tuple(self.manager_host(number) for number in range(2, self.managers + 1))

    def registries(self) -> str:
        """Content of `registries_file`."""
        return (
            f'[registry."registry:{REGISTRY_PORT}"]\n'
            f'endpoint = "http://{self.manager_address}:{REGISTRY_PORT}"\nplain_http = true\n'
        )
