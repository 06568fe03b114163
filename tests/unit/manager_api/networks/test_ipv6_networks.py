"""Networks with IPv6: every wrong word is told, by its place."""

import pytest

from manager.networks.network_handler import network_faults, network_warnings
from manager.networks.network_references import resolve
from manager.store import kinds
from manager.store.changes import Change
from manager.store.kinds import Kind, M
from manager.store.tables import Tables
from manager.validation.service_rules import check_service
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort, Service, ServiceSpec
from shoal.networks.published_ports import conflict, covers, label
from tests.unit.manager_api.control_rig import spec_of


def put(view: Tables, kind: Kind[M], identifier: str, value: M) -> None:
    change = Change(kind, identifier, None, value)  # type: ignore[arg-type]  # a kind's rows are of its message
    view.apply([change], view.revision + 1)


def tables(*, without: str = "") -> Tables:
    view = Tables()
    for name in ("h1", "h2"):
        about = NodeDescription(
            hostname=name, address="192.0.2.1", host_prefixes=["fd77::/64"], ipv6=name not in without
        )
        if not about.ipv6:
            about.ipv6_unavailable_reason = "its kernel has no IPv6"
        put(view, kinds.NODE, name, Node(meta=Meta(id=name)))
        put(view, kinds.NODE_STATUS, name, NodeStatus(node_id=name, description=about))
    lab = NetworkSpec(name="lab", ipv6=True, subnet6="fd12::/64", gateway6="fd12::9", aux_addresses6={"nas": "fd12::a"})
    put(view, kinds.NETWORK, "lab", Network(meta=Meta(id="lab"), spec=lab))
    put(view, kinds.ALLOCATION, "lab", NetworkAllocation(network_id="lab", subnet="10.0.0.0/24", subnet6="fd12::/64"))
    put(view, kinds.NETWORK, "plain", Network(meta=Meta(id="plain"), spec=NetworkSpec(name="plain")))
    return view


def faults(more: dict[str, object], view: Tables | None = None) -> list[str]:
    spec = NetworkSpec(name="new", **{"ipv6": True, **more})  # type: ignore[arg-type]
    return [f"{fault.path}: {fault.message}" for fault in network_faults(view or tables(), spec)]


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        ({"ipv6": False, "subnet6": "fd13::/64"}, "subnet6: requires IPv6: set ipv6 too"),
        ({"subnet6": "fd12:0:0:0:8::/80"}, 'subnet6: fd12::8:0:0:0/80 overlaps network "lab"'),
        ({"subnet6": "fd77::/48"}, "subnet6: fd77::/48 overlaps fd77::/64, a route of node h1"),
        ({"subnet6": "fe80::/64"}, "subnet6: fe80::/64 is not a unicast prefix"),
        ({"subnet6": "ff02::/64"}, "subnet6: ff02::/64 is not a unicast prefix"),
        ({"subnet6": "fd53:686f:616c:9::/64"}, "subnet6: fd53:686f:616c:9::/64 overlaps fd53:686f:616c::/48"),
        ({"subnet6": "fd13::/126"}, "subnet6: fd13::/126 must have a prefix length between /48 and /125"),
        ({"subnet6": "fd13::1/64"}, "fd13::1/64 has host bits set"),
        ({"subnet6": "10.0.0.0/24"}, 'subnet6: "10.0.0.0/24" must be an IPv6 subnet such as'),
        ({"gateway6": "fd13::1"}, "gateway6: requires an IPv6 subnet that contains it"),
        ({"subnet6": "fd13::/64", "gateway6": "fd14::1"}, "gateway6: fd14::1 must be in subnet fd13::/64"),
        ({"subnet6": "fd13::/64", "gateway6": "fd13::"}, "gateway6: fd13:: is the subnet-router anycast address"),
        ({"subnet6": "fd13::/64", "ip_range6": "fd13::1"}, ""),
        ({"subnet6": "fd13::/64", "ip_range6": "fd14::/112"}, "ip_range6: fd14::/112 must be in subnet"),
        (
            {"subnet6": "fd13::/64", "aux_addresses6": {"a": "10.0.0.1"}},
            'aux_addresses6.a: "10.0.0.1" must be an IPv6 address',
        ),
        ({"subnet": "fd13::/64"}, 'subnet: "fd13::/64" must be an IPv4 subnet'),
    ],
)
def test_every_fault_is_told_at_its_place(more: dict[str, object], reported: str) -> None:
    found = faults(more)
    assert any(reported in text for text in found) if reported else found == []


def test_a_good_one_has_no_faults() -> None:
    assert faults({}) == []
    assert faults({"subnet": "10.5.0.0/24", "subnet6": "2001:db8:5::/64", "ip_range6": "2001:db8:5::1000/116"}) == []


def test_an_encrypted_network_may_have_it() -> None:
    view = tables()
    for status in view.node_status.values():
        status.description.features.append("wireguard")
    assert faults({"options": {"encrypted": "true"}, "subnet6": "fd13::/64"}, view) == []


def test_nodes_that_lack_it_are_named_with_the_reason() -> None:
    assert faults({}, tables(without="h1 h2")) == [
        "ipv6: no node supports IPv6 for containers: h1: its kernel has no IPv6; h2: its kernel has no IPv6"
    ]
    assert network_warnings(NetworkSpec(ipv6=True), tables(without="h2")) == [
        "tasks on this network run only on nodes with IPv6; nodes without it: h2: its kernel has no IPv6"
    ]
    assert network_warnings(NetworkSpec(ipv6=True), tables()) == []


@pytest.mark.parametrize(
    ("network", "address", "reported"),
    [
        ("lab", "fd12::7", ""),
        ("lab", "fd12::8", 'is already requested by service "db"'),
        ("lab", "fd12::9", "it is the gateway"),
        ("lab", "fd12::a", 'it is reserved as "nas"'),
        ("lab", "fd12::1", "the first two addresses of fd12::/64 are reserved"),
        ("lab", "fd13::7", "is not in fd12::/64"),
        ("plain", "fd12::7", 'network "plain" does not have IPv6 enabled'),
    ],
)
def test_addresses_that_are_asked_for(network: str, address: str, reported: str) -> None:
    view = tables()
    other = attached("lab", "fd12::8")
    other.name = "db"
    put(view, kinds.SERVICE, "db", Service(meta=Meta(id="db"), spec=other))
    found = resolve(attached(network, address), view, {})
    assert [fault.path for fault in found] == (["task.networks[0].address6"] if reported else [])
    assert all(reported in fault.message for fault in found)


def attached(network: str, address: str, replicas: int = 1) -> ServiceSpec:
    spec = spec_of(replicas=replicas)
    spec.task.networks.append(NetworkAttachment(network=network, address6=address))
    return spec


def test_an_address_is_of_one_task_and_written_in_one_way() -> None:
    reported = [fault.message for fault in check_service(attached("lab", "fd12::7", replicas=2))]
    assert reported == ["a static address requires a service with one task; this one has 2 replicas"]
    assert [fault.message for fault in check_service(attached("lab", "fd12:0::7"))] == [
        '"fd12:0::7" must be written as fd12::7'
    ]


@pytest.mark.parametrize(
    ("host", "protocol", "reported"),
    [
        ("::1", PublishedPort.TCP, ""),
        ("::", PublishedPort.UDP, ""),
        ("::1", PublishedPort.UDP, "only tcp can be published on ::1"),
        ("fe80::1", PublishedPort.TCP, "is a link-local address"),
        ("fe80::1%eth0", PublishedPort.TCP, "must not have a zone"),
        ("0:0:0:0:0:0:0:1", PublishedPort.TCP, "must be written as ::1"),
    ],
)
def test_host_addresses_of_ports(host: str, protocol: PublishedPort.Protocol.ValueType, reported: str) -> None:
    spec = spec_of()
    spec.endpoint.ports.append(PublishedPort(target=80, published=80, protocol=protocol, host_address=host))
    found = [fault.message for fault in check_service(spec)]
    assert len(found) == bool(reported)
    assert all(reported in message for message in found)


def test_which_ports_collide() -> None:
    def port(host: str) -> PublishedPort:
        return PublishedPort(target=80, published=80, host_address=host)

    for one, other, both in (
        ("", "::1", True),
        ("::", "::1", True),
        ("::", "127.0.0.1", False),
        ("0.0.0.0", "::1", False),
        ("0.0.0.0", "::", False),
        ("", "::", True),
        ("::1", "::1", True),
        ("::1", "fd00::1", False),
    ):
        assert conflict(port(one), port(other)) is both
        assert conflict(port(other), port(one)) is both
    assert not covers("::1", "")
    assert label(port("::1")) == "[::1]:80/tcp"
