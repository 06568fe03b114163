"""Services on networks: modes, addresses that are asked for, and subnets that hosts use already."""

import pytest

from manager.networks.network_handler import allocation_problem
from manager.networks.network_references import resolve
from manager.nodes.node_warnings import NodeWarnings
from manager.planner.allocator.network_subnets import host_ranges
from manager.planner.ipam.address_ranges import parse_range
from manager.store import kinds
from manager.store.changes import Change
from manager.store.kinds import Kind, M
from manager.store.tables import Tables
from manager.validation.network_rules import overlap_with_hosts
from manager.validation.service_rules import check_service
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus, PathFault
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort, Service, ServiceSpec, UpdateConfig
from tests.unit.manager_api.control_rig import spec_of


def attached(*attachments: NetworkAttachment, replicas: int = 1) -> ServiceSpec:
    spec = spec_of(replicas=replicas)
    spec.task.networks.extend(attachments)
    return spec


def on(network: str, **more: object) -> NetworkAttachment:
    return NetworkAttachment(network=network, **more)  # type: ignore[arg-type]


def put(view: Tables, kind: Kind[M], identifier: str, value: M) -> None:
    change = Change(kind, identifier, None, value)  # type: ignore[arg-type]  # a kind's rows are of its message
    view.apply([change], view.revision + 1)


def tables() -> Tables:
    view = Tables()
    front = NetworkSpec(name="front", subnet="10.5.0.0/24", gateway="10.5.0.9", aux_addresses={"printer": "10.5.0.10"})
    for name, spec in (("front", front), ("back", NetworkSpec(name="back"))):
        put(view, kinds.NETWORK, name, Network(meta=Meta(id=name), spec=spec))
    other = attached(on("front", address="10.5.0.7"))
    other.name = "db"
    put(view, kinds.SERVICE, "db", Service(meta=Meta(id="db"), spec=other))
    for name, mtu, prefixes in (("h1", 1500, ["10.9.0.0/16", "fd00::/8"]), ("h2", 1500, []), ("h3", 1400, [])):
        about = NodeDescription(hostname=name, address=f"192.0.2.{name[1]}", host_prefixes=prefixes, underlay_mtu=mtu)
        put(view, kinds.NODE, name, Node(meta=Meta(id=name)))
        put(view, kinds.NODE_STATUS, name, NodeStatus(node_id=name, description=about))
    return view


def paths(spec: ServiceSpec) -> list[str]:
    return [fault.path for fault in check_service(spec)]


@pytest.mark.parametrize("mode", ["host", "none", "bridge"])
def test_a_mode_stands_alone_and_stays_as_it_is(mode: str) -> None:
    spec = attached(on(mode))
    assert paths(spec) == []
    assert resolve(spec, tables(), {}) == []
    assert spec.task.networks[0].network == mode
    assert paths(attached(on(mode), on("front"))) == ["task.networks"]
    assert paths(attached(on(mode, aliases=["www"]))) == ["task.networks[0]"]
    assert paths(attached(on(mode, address="10.5.0.7"))) == ["task.networks[0]"]


def test_ports_are_published_where_somebody_can_listen() -> None:
    for mode, expected in (("host", ["endpoint.ports"]), ("none", ["endpoint.ports"]), ("bridge", [])):
        spec = attached(on(mode))
        spec.endpoint.ports.add(target=80, published=80, mode=PublishedPort.HOST)
        assert paths(spec) == expected


def test_an_address_is_for_one_task() -> None:
    request = on("front", address="10.5.0.8")
    assert paths(attached(request)) == []
    assert paths(attached(request, replicas=0)) == []
    assert paths(attached(request, replicas=2)) == ["task.networks[0].address"]
    assert paths(attached(on("front", address="10.5.0.800"))) == ["task.networks[0].address"]
    everywhere = attached(request)
    getattr(everywhere, "global").SetInParent()
    assert paths(everywhere) == ["task.networks[0].address"]
    beside = attached(request)
    beside.update.order = UpdateConfig.START_FIRST
    assert paths(beside) == ["task.networks[0].address"]


@pytest.mark.parametrize(
    ("network", "address", "why"),
    [
        ("front", "10.6.0.7", "is not in 10.5.0.0/24"),
        ("front", "10.5.0.1", "cannot be assigned: the first two"),
        ("front", "10.5.0.255", "cannot be assigned: the first two"),
        ("front", "10.5.0.9", "it is the gateway"),
        ("front", "10.5.0.10", 'reserved as "printer"'),
        ("front", "10.5.0.7", 'already requested by service "db"'),
        ("back", "10.5.0.7", "has no user-defined subnet"),
    ],
)
def test_addresses_that_cannot_be_had(network: str, address: str, why: str) -> None:
    (fault,) = resolve(attached(on(network, address=address)), tables(), {})
    assert fault.path == "task.networks[0].address" and why in fault.message


def test_a_network_that_is_coming_counts_as_there() -> None:
    coming = {"new": Network(meta=Meta(id="id"), spec=NetworkSpec(name="new", subnet="10.7.0.0/24"))}
    spec = attached(on("new", address="10.7.0.7"))
    assert resolve(spec, tables(), coming) == []
    assert spec.task.networks[0].network == "id"


def test_an_alias_twice_is_refused_whatever_its_case() -> None:
    assert paths(attached(on("front", aliases=["www", "WWW"]))) == ["task.networks[0].aliases[1]"]


def test_subnets_that_hosts_use_are_refused_with_the_node_that_does() -> None:
    found = [fault.message for fault in overlap_with_hosts("subnet", "10.9.7.0/24", tables())]
    assert len(found) == 1 and "10.9.0.0/16, a route of node h1" in found[0]
    found = [fault.message for fault in overlap_with_hosts("subnet", "192.0.2.0/24", tables())]
    assert len(found) == 3 and "192.0.2.2, the address of node h2" in found[1]
    assert (
        "which nodes use for tasks without a network"
        in next(overlap_with_hosts("subnet", "172.30.4.0/24", tables())).message
    )
    assert list(overlap_with_hosts("subnet", "10.10.0.0/16", tables())) == []


def test_a_pool_that_a_node_has_taken_is_its_own() -> None:
    view = tables()
    view.node_status["h2"].description.local_pool = "172.29.0.0/16"
    (fault,) = overlap_with_hosts("subnet", "172.29.4.0/24", view)
    assert "172.29.0.0/16, the local address pool of node h2" in fault.message
    assert parse_range("172.29.0.0/16") in set(host_ranges(view))
    view.node_status["h2"].description.local_pool = "10.5.0.0/28"
    put(view, kinds.ALLOCATION, "front", NetworkAllocation(network_id="front", subnet="10.5.0.0/24"))
    (line,) = NodeWarnings(view).warnings_for("h2")
    assert line.startswith("local address pool 10.5.0.0/28 overlaps network front (10.5.0.0/24)")


def test_paths_that_let_too_little_through_are_told_with_both_nodes() -> None:
    view = tables()
    faults = [
        PathFault(address="192.0.2.2", tunnel=True, mtu=1350, expected_mtu=1450),
        PathFault(address="192.0.2.9", tunnel=True, expected_mtu=1450),
        PathFault(address="192.0.2.3", mtu=1400, expected_mtu=1500),
    ]
    view.node_status["h1"].network_condition.paths.extend(faults)
    assert [line.partition(":")[0] for line in NodeWarnings(view).warnings_for("h1")] == [
        "packets larger than 1350 bytes are lost in the tunnel to node h2 (expected MTU 1450)",
        "the tunnel to node 192.0.2.9 does not work",
        "packets larger than 1400 bytes are lost on the way to node h3 (expected MTU 1500)",
    ]


def test_the_node_whose_tunnels_are_at_another_port_is_told() -> None:
    view = tables()
    for name, port in (("h1", 4789), ("h2", 8472), ("h3", 4789)):
        view.node_status[name].description.vxlan_port = port
    (line,) = NodeWarnings(view).warnings_for("h2")
    assert line.startswith("VXLAN port is 8472, but 2 of 3 nodes use 4789")
    assert not list(NodeWarnings(view).warnings_for("h1"))


def test_the_node_whose_mtu_differs_is_told() -> None:
    warnings = NodeWarnings(tables())
    assert [list(warnings.warnings_for(name)) for name in ("h1", "h2", "gone")] == [[], [], []]
    (line,) = warnings.warnings_for("h3")
    assert line == "MTU 1400 on the interface of 192.0.2.3; 2 of 3 nodes use 1500"


def test_a_node_whose_routes_overlap_a_network_is_told() -> None:
    view = tables()
    for name, subnet in (("front", "10.9.3.0/24"), ("back", "10.10.0.0/24")):
        put(view, kinds.ALLOCATION, name, NetworkAllocation(network_id=name, subnet=subnet))
    warnings = NodeWarnings(view)
    (line,) = warnings.warnings_for("h1")
    assert line.startswith("route to 10.9.0.0/16 overlaps network front (10.9.3.0/24)")
    assert list(warnings.warnings_for("h2")) == []


def test_why_a_network_has_no_subnet() -> None:
    view = tables()
    assert "waiting for a subnet" in allocation_problem(view, view.networks["back"])
    assert "no manager is leading" in allocation_problem(view, view.networks["front"])
    twin = Network(meta=Meta(id="twin"), spec=NetworkSpec(name="twin", subnet="10.5.0.128/25"))
    put(view, kinds.NETWORK, "twin", twin)
    assert 'overlaps network "front" (10.5.0.0/24)' in allocation_problem(view, twin)
