"""Three hosts on one underlay of either family: where an attacker's container is, and what it is after."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, ip_address

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskPort
from tests.hostile.packets.crafted import UDP, Address, label, udp, vxlan
from tests.hostile.packets.crafted import ip as packet
from tests.integration.network.netns_hosts import Host, Hosts, inside, ip, task
from tests.integration.network.test_ipv6_between_hosts import dual, placed

VNI = 4096
PUBLISHED, MESH_PORT, INNER_PORT = 9000, 9100, 5000
MESH = NetworkAssignment(
    network_id="ingress", name="ingress", subnet="10.255.0.0/16", subnet6="fd99:ff::/64", mesh=True
)


class Laboratory:
    """Host one runs the attacker, two the victim's network, three a task behind the routing mesh.

    Attributes:
        attacker: a container on network 1 whose UDP port 9000 host one publishes.
        neighbour: another one of network 1, on host two.
        meshed: a container on host three, which every host leads UDP port 9100 to.
        lonely: a container without networks, on host one.
        victim: on network 2, which is internal, on host two; it listens at UDP port 5000.
    """

    def __init__(self, hosts: Hosts, version: int) -> None:
        self.hosts, self.version = hosts, version
        if version == 6:
            for number, host in enumerate(hosts.all, 1):
                ip(host.descriptor, "addr flush dev eth0", f"-6 addr add fd31::{number}/64 dev eth0 nodad")
                host.address = f"fd31::{number}"
        ip(hosts.client, "-6 addr add fd31::100/64 dev eth0 nodad")
        hosts.start()
        one, two, three = hosts.all
        attacker, neighbour = placed(1, one, 1), placed(2, two, 1)
        victim, insider, meshed = placed(3, two, 2), placed(4, one, 2), placed(5, three, 1, service="mesh")
        meshed.addresses.append(TaskAddress(network_id="ingress", address="10.255.0.5", address6="fd99:ff::5"))
        led = PublishedPort(protocol=PublishedPort.UDP, target=MESH_PORT, published=MESH_PORT)
        service = ServiceEndpoint(service_id="id-of-mesh", service_name="mesh", mesh_ports=[led])
        hosts.apply([dual(1), dual(2, internal=True), MESH], [attacker, neighbour, victim, insider, meshed], service)
        published = TaskPort(protocol=PublishedPort.UDP, target=PUBLISHED, published=PUBLISHED)
        self.attackers_task = attacker.task_id
        self.attacker = hosts.attach(one, task(attacker, published)).netns_fd
        self.neighbour = hosts.attach(two, task(neighbour)).netns_fd
        self.victim = hosts.attach(two, task(victim)).netns_fd
        self.insider = hosts.attach(one, task(insider)).netns_fd
        self.meshed = hosts.attach(three, task(meshed)).netns_fd
        self.lonely = hosts.attach(one, Task(id="task000000006"))

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET if self.version == 4 else socket.AF_INET6

    @property
    def client(self) -> Address:
        return ip_address("172.31.0.100" if self.version == 4 else "fd31::100")

    def address(self, number: int) -> Address:
        """Of network 1's task of this number."""
        return ip_address(f"10.99.1.{number}" if self.version == 4 else f"fd99:1::{number}")

    def underlay(self, host: Host) -> Address:
        return ip_address(host.address)

    def frame(self, name: str) -> bytes:
        """What the VXLAN device of host two would hand to the victim, from a stranger on its network."""
        stranger, victim = IPv4Address("10.99.2.66"), IPv4Address("10.99.2.3")
        inner = packet(stranger, victim, UDP, udp(stranger, victim, (1, INNER_PORT), label(name) * 4))
        macs = tuple(host.network.description().vtep_mac for host in (self.hosts.two, self.hosts.one))
        return vxlan(VNI, (macs[0], macs[1]), inner)

    @contextmanager
    def listening(self, descriptor: int, port: int) -> Iterator[socket.socket]:
        """A socket at every address of a namespace, of the underlay's family."""
        with inside(descriptor):
            made = socket.socket(self.family, socket.SOCK_DGRAM)
        with made:
            made.bind(("", port))
            made.settimeout(30)
            yield made


class Inbox:
    """What the victim received, by label."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver
        self._names: set[str] = set()

    def names(self) -> set[str]:
        while True:
            try:
                data = self._receiver.recv(65536)
            except BlockingIOError:
                return self._names
            self._names.add(data[2 : data.index(b">>")].decode())


@contextmanager
def inbox(laboratory: Laboratory) -> Iterator[Inbox]:
    with inside(laboratory.victim):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
    with receiver:
        receiver.bind(("", INNER_PORT))
        receiver.setblocking(False)
        yield Inbox(receiver)


def laboratory(version: int) -> Iterator[Laboratory]:
    with ExitStack() as stack:
        yield Laboratory(stack.enter_context(Hosts(3)), version)
