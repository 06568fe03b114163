"""Whatever changes in whatever order: what is kept by differences is what follows from all records at once."""

from collections.abc import Mapping
from dataclasses import fields, replace
from ipaddress import ip_address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assignments.cluster_diff import ClusterDiff
from agent.network.attachments.local_pool import DEFAULT_POOL
from agent.network.balancing.bucket_elements import service_elements
from agent.network.balancing.load_balancer import LoadBalancer
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.derived_state import DerivedState
from agent.network.cluster_state.encrypted_overlay import NO_ENCRYPTION
from agent.network.cluster_state.overlay_tables import OverlayTables, overlay_tables
from agent.network.cluster_state.service_map import service_map
from agent.network.cluster_state.table_state import TableState
from agent.network.dns.zone import ZoneState, build_zone
from agent.network.kernel_state import KernelState, desired_state, plan
from agent.network.netlink.rtnetlink import Message
from agent.network.nftables import set_elements
from shoal.api.v1.dispatcher_pb2 import Aliases, NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.api.v1.service_pb2 import PublishedPort, VirtualAddress
from shoal.api.v1.task_pb2 import TaskAddress

HERE = "n1"
POOL = DEFAULT_POOL
NETWORKS, NODES, SERVICES, TASKS = ("a", "b", "mesh"), (HERE, "n2", "n3"), ("s", "t"), ("t1", "t2", "t3", "t4")
PREFIXES = {"a": 1, "b": 2, "mesh": 3}


def _network(name: str, wide: bool, internal: bool, generation: int) -> NetworkAssignment:
    return NetworkAssignment(
        network_id=name,
        name=f"net-{name}",
        subnet=f"10.{PREFIXES[name]}.0.0/{16 if wide else 24}",
        internal=internal,
        mesh=name == "mesh",
        key_generation=generation if name == "b" else 0,
    )


def _endpoint(
    task: str, service: str, node: str, networks: list[str], last: int, ready: bool, alias: str
) -> TaskEndpoint:
    return TaskEndpoint(
        task_id=task,
        service_id=service,
        service_name=f"name-{service}",
        slot=int(task[1:]),
        node_id=node,
        addresses=[
            TaskAddress(network_id=name, address=f"10.{PREFIXES[name]}.0.{last}", address6=f"fd00::{last}")
            for name in networks
        ],
        ready=ready,
        aliases={"a": Aliases(names=[alias])},
    )


def _service(name: str, networks: list[str], ports: list[int]) -> ServiceEndpoint:
    number = SERVICES.index(name)
    return ServiceEndpoint(
        service_id=name,
        service_name=f"name-{name}",
        virtual_addresses=[
            VirtualAddress(network_id=each, address=f"10.{PREFIXES[each]}.0.{200 + number}") for each in networks
        ],
        mesh_ports=[PublishedPort(target=80, published=port, protocol=PublishedPort.TCP) for port in ports],
    )


def _peer(node: str, last: int) -> Peer:
    key = OverlayKey(generation=1, public_key=bytes([last]) * 32, port=51820)
    return Peer(node_id=node, address=f"192.0.2.{last}", vtep_mac=f"02:56:00:00:00:0{last}", keys=[key])


SOME = st.lists(st.sampled_from(NETWORKS), unique=True, max_size=2)
CHANGES: st.SearchStrategy[ClusterDiff] = st.one_of(
    st.builds(_network, st.sampled_from(NETWORKS), st.booleans(), st.booleans(), st.integers(0, 2)).map(
        lambda each: ClusterDiff(networks={each.network_id: each})
    ),
    *[
        st.builds(
            _endpoint,
            st.sampled_from(TASKS),
            st.sampled_from(SERVICES),
            st.sampled_from(NODES),
            SOME,
            st.integers(1, 4),
            st.booleans(),
            st.sampled_from(["www", "name-s", "api"]),
        ).map(lambda each: ClusterDiff(endpoints={each.task_id: each}))
    ]
    * 2,
    st.builds(_peer, st.sampled_from(NODES[1:]), st.integers(2, 4)).map(
        lambda each: ClusterDiff(peers={each.node_id: each})
    ),
    st.builds(
        _service,
        st.sampled_from(SERVICES),
        st.lists(st.sampled_from(NETWORKS[:2]), unique=True),
        st.lists(st.integers(8080, 8081), unique=True),
    ).map(lambda each: ClusterDiff(services={each.service_id: each})),
    st.sampled_from(NETWORKS).map(lambda key: ClusterDiff(networks={key: None})),
    st.sampled_from(TASKS).map(lambda key: ClusterDiff(endpoints={key: None})),
    st.sampled_from(NODES).map(lambda key: ClusterDiff(peers={key: None})),
    st.sampled_from(SERVICES).map(lambda key: ClusterDiff(services={key: None})),
)
START = ClusterDiff(
    networks={name: _network(name, False, False, 1) for name in NETWORKS},
    peers={node: _peer(node, number) for number, node in enumerate(NODES[1:], 2)},
    services={"s": _service("s", ["a"], [8080])},
)


def _joined(changes: list[ClusterDiff]) -> ClusterDiff:
    found = ClusterDiff()
    for change in changes:
        found = found.merge(change)
    return found


def _state(tables: OverlayTables, has_ingress: bool | None = None) -> KernelState:
    return desired_state(tables, (), 7, POOL, ipv6=True, has_ingress=has_ingress)


def assert_disjoint(diff: DerivedDiff) -> None:
    """What stays as it is is on neither side."""
    removed, added = diff.tables.removed, diff.tables.added
    assert removed.encrypted == added.encrypted == NO_ENCRYPTION
    sides: list[tuple[Mapping[Any, Any], Mapping[Any, Any]]] = [
        (removed.subnets, added.subnets),
        (removed.peers, added.peers),
        (removed.routes, added.routes),
        (removed.ingress_marks, added.ingress_marks),
        (diff.encrypted_moves.removed, diff.encrypted_moves.added),
    ]
    assert all(left.items().isdisjoint(right.items()) for left, right in sides)
    old, new = diff.names.removed, diff.names.added
    assert set(old.names).isdisjoint(new.names) and set(old.fallbacks).isdisjoint(new.fallbacks)
    less, more = diff.services.removed, diff.services.added
    assert less.targets.isdisjoint(more.targets) and less.targets6.isdisjoint(more.targets6)
    for frontend in less.backends.keys() & more.backends.keys():
        assert less.backends[frontend].isdisjoint(more.backends[frontend])
        assert less.backends[frontend] or more.backends[frontend]


class Node:
    """What a node holds, brought there by differences alone: values, elements of the table, entries of the kernel."""

    def __init__(self) -> None:
        self.derived = DerivedState(node_id=HERE, ipv6=True)
        self.live, self.balance, self.names = TableState(), LoadBalancer(), ZoneState(ipv6=True)
        self.encrypted, self.kernel = NO_ENCRYPTION, _state(self.live.current)
        self.elements = {name: set(values) for name, values in self.desired_elements().items()}

    def desired_elements(self) -> set_elements.Elements:
        return set_elements.merge(set_elements.desired_elements(self.live.current, (), POOL), self.balance.elements())

    def apply(self, change: ClusterDiff) -> list[Message]:
        """The messages for the kernel."""
        diff = self.derived.apply(change)
        assert_disjoint(diff)
        had_ingress = self.live.has_ingress
        self.live.apply(diff.tables)
        self._encrypt(diff)
        move = self.balance.apply(diff.services)
        before = set_elements.merge(set_elements.desired_elements(diff.tables.removed, (), POOL), move.before)
        after = set_elements.merge(set_elements.desired_elements(diff.tables.added, (), POOL), move.after)
        for name, values in self.elements.items():
            assert before[name] - after[name] <= values and values.isdisjoint(after[name] - before[name]), name
            values -= before[name] - after[name]
            values |= after[name] - before[name]
        self.names.apply(diff.names, diff.networks)
        was, will_be = _state(diff.tables.removed, had_ingress), _state(diff.tables.added, self.live.has_ingress)
        for field in fields(KernelState):
            held = getattr(self.kernel, field.name)
            gone, come = getattr(was, field.name), getattr(will_be, field.name)
            self.kernel = replace(self.kernel, **{field.name: (held - (gone - come)) | come})
        return plan(was, will_be)

    def _encrypt(self, step: DerivedDiff) -> None:
        whole = self.encrypted if step.encrypted is None else step.encrypted
        kept = {
            address: node for address, node in whole.locations.items() if address not in step.encrypted_moves.removed
        }
        assert kept.keys().isdisjoint(step.encrypted_moves.added)
        assert step.encrypted_moves.removed.items() <= whole.locations.items()
        self.encrypted = replace(whole, locations={**kept, **step.encrypted_moves.added})


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=4), max_size=10))
def test_differences_lead_where_a_fresh_start_leads(bursts: list[list[ClusterDiff]]) -> None:
    node = Node()
    for change in (START, *map(_joined, bursts)):
        node.apply(change)
        reported = node.derived.records
        networks, endpoints = list(reported.networks.values()), list(reported.endpoints.values())
        endpoints.sort(key=lambda each: (each.ready, each.task_id))
        fresh = overlay_tables(networks, endpoints, list(reported.peers.values()), HERE)
        assert node.live.current == replace(fresh, encrypted=NO_ENCRYPTION)
        assert node.encrypted == fresh.encrypted
        assert node.kernel == _state(fresh)
        spread = service_map(networks, endpoints, list(reported.services.values()), HERE)
        whole = node.balance.services()
        assert whole.targets == spread.targets and whole.targets6 == spread.targets6
        assert whole.backends.keys() == spread.backends.keys()
        shared = [frontend for frontend in whole.backends if whole.backends[frontend] != spread.backends[frontend]]
        # Of a port that two services claim, one alone would be read last.
        assert all(not frontend.kind.is_virtual for frontend in shared)
        assert node.elements == node.desired_elements()
        own = service_elements(spread.backends, spread.targets, spread.targets6)
        assert own.items() <= node.balance.elements().items()
        names = build_zone(networks, endpoints, list(reported.services.values()))
        assert _names(node.names.zone.names) == _names(names.names)
        assert node.names.zone.owners.keys() == names.owners.keys()
        assert node.names.zone.subnets == names.subnets


def test_what_only_takes_names_away_is_known_as_that() -> None:
    """The last ready task of a service withdraws from a network: names tell of it before the kernel refuses clients."""
    state = DerivedState(node_id=HERE, ipv6=True)

    def takes_away(**endpoints: TaskEndpoint | None) -> bool:
        return state.apply(ClusterDiff(endpoints=endpoints)).only_removes_names

    state.apply(START)
    there = _endpoint("t1", "s", HERE, ["a"], 1, True, "www")
    going = _endpoint("t1", "s", HERE, ["a"], 1, False, "www")
    assert not takes_away(t1=there)
    assert takes_away(t1=going)
    assert not takes_away(t1=there, t2=_endpoint("t2", "s", HERE, ["a"], 2, False, "www"))
    assert not takes_away(t1=going, t2=_endpoint("t2", "s", HERE, ["a"], 2, True, "www"))
    assert takes_away(t1=None, t2=None)


def _names(found: object) -> object:
    assert isinstance(found, dict)
    return {
        network: {name: set(addresses) for name, addresses in names.items()}
        for network, names in found.items()
        if names
    }


def test_one_endpoint_of_many_costs_what_it_changes() -> None:
    node = Node()
    many = {
        f"t{number}": TaskEndpoint(
            task_id=f"t{number}",
            service_id="s",
            service_name="name-s",
            slot=number,
            node_id="n2",
            addresses=[TaskAddress(network_id="a", address=f"10.1.{number >> 8}.{number & 255}")],
            ready=True,
        )
        for number in range(1, 1001)
    }
    node.apply(START.merge(ClusterDiff(endpoints=many)))
    change = ClusterDiff(endpoints={"t7": None})
    before, after = node.derived.records.affected(change)
    assert [len(before.endpoints), len(after.endpoints), len(before.endpoint_networks), len(before.peers)] == [
        1,
        0,
        1,
        1,
    ]
    held = {name: set(values) for name, values in node.elements.items()}
    (message,) = node.apply(change)
    assert "10.1.0.7" in message.description
    changed = {name: len(held[name] ^ values) for name, values in node.elements.items() if held[name] != values}
    assert changed.keys() == {"virtual_16384"} and changed["virtual_16384"] <= 34
    assert node.names.zone.find("tasks.name-s", ["a"]) is not None
    assert ip_address("10.1.0.7") not in node.names.zone.owners
