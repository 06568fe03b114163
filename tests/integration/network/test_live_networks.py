"""Containers of one's own that join and leave networks while they run, and names and ways of their links."""

import random
import socket
from contextlib import closing
from typing import Any

import pytest

from agent.worker.sandbox import ORDINARY, NetworkOptions
from shoal.api.v1.dispatcher_pb2 import Aliases, TaskEndpoint
from shoal.container_ids import short_container_id
from tests.integration.network.netns_hosts import (
    Host,
    Hosts,
    endpoint,
    inside,
    network,
    pings,
    refused,
    run,
    task,
    tcp_echo,
    tcp_exchange,
    until,
)
from tests.integration.network.test_ipv6_between_hosts import dual, placed
from tests.integration.network.test_names_in_containers import addresses, ask

POOL = NetworkOptions(node_pool=True)
NETWORKS = [network(1), network(2), network(3, internal=True)]


def change(host: Host, of: TaskEndpoint, netns: int, options: NetworkOptions = ORDINARY) -> set[str]:
    """Its IPv4 addresses."""
    found = host.call(host.network.change(task(of), options, netns))
    return {address for address in found if ":" not in address}


def inside_addresses(netns: int) -> set[str]:
    lines = run(netns, "ip", "-4", "-o", "addr", "show", "dev", "eth0").splitlines()
    return {line.split()[3].partition("/")[0] for line in lines}


def inside_routes(netns: int) -> set[str]:
    found = {line.split()[0] for line in run(netns, "ip", "route", "show").splitlines()}
    return found - {"169.254.1.1"}


def connect(netns: int, address: str, port: int) -> socket.socket:
    with inside(netns):
        return socket.create_connection((address, port), 2)


def works(connection: socket.socket) -> bool:
    connection.settimeout(1)
    try:
        connection.sendall(b"ping")
        return connection.recv(4) == b"ping"
    except OSError:
        return False


def test_a_running_container_joins_a_network_and_leaves_another(hosts: Hosts) -> None:
    hosts.start()
    before, after, left = (endpoint(1, hosts.one, *of) for of in ((1,), (1, 2), (2,)))
    old, new = endpoint(2, hosts.two, 1, service="old"), endpoint(3, hosts.two, 2, service="new")
    hosts.apply(NETWORKS, [before, old, new])
    own, others = (
        hosts.attach(hosts.one, task(before)).netns_fd,
        [hosts.attach(hosts.two, task(e)).netns_fd for e in (old, new)],
    )
    with tcp_echo(own, 80), tcp_echo(others[0], 81), tcp_echo(others[1], 82):
        with closing(connect(own, "10.99.1.2", 81)) as open_before:
            assert works(open_before)
            assert refused(own, "10.99.2.3", 82)
            hosts.apply(NETWORKS, [after, old, new])
            assert change(hosts.one, after, own) == {"10.99.1.1", "10.99.2.1"}
            assert tcp_exchange(own, "10.99.2.3", 82) == b"hello"
            assert tcp_exchange(others[1], "10.99.2.1", 80) == b"hello"
            assert addresses(ask(own, "new")) == {"10.99.2.3"}
            assert addresses(ask(own, "old")) == {"10.99.1.2"}
            assert works(open_before), "a connection on the network that it was on"
            assert hosts.one.call(hosts.one.network.reconcile()) == []

        with closing(connect(own, "10.99.2.3", 82)) as open_before:
            hosts.apply(NETWORKS, [left, old, new])
            assert change(hosts.one, left, own) == {"10.99.2.1"}
            assert works(open_before), "a connection on the network that it stays on"
        assert inside_addresses(own) == {"10.99.2.1"}
        assert inside_routes(own) == {"default", "10.99.2.0/24"}
        assert tcp_exchange(own, "10.99.2.3", 82) == b"hello"
        assert pings(own, "172.31.0.100"), "egress by the network that it is on now"
        assert refused(own, "10.99.1.2", 81)
        assert refused(others[0], "10.99.1.1", 80)
        assert ask(own, "old").answer == []
        assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_the_nodes_own_pool_stays_beside_a_network_until_it_is_left(hosts: Hosts) -> None:
    hosts.start()
    alone, both = endpoint(1, hosts.one), endpoint(1, hosts.one, 3)
    peer = endpoint(2, hosts.two, 3, service="db")
    hosts.apply(NETWORKS, [alone, peer])
    own = hosts.attach(hosts.one, task(alone), node_pool=True).netns_fd
    (local,) = inside_addresses(own)
    link = hosts.one.network.task_link(alone.task_id)
    assert link.pool_address.partition("/")[0] == local and link.gateway == "169.254.1.1"
    assert link.mac_address in run(own, "ip", "-o", "link", "show", "eth0")
    other = hosts.attach(hosts.two, task(peer)).netns_fd
    hosts.apply(NETWORKS, [both, peer])
    assert change(hosts.one, both, own, POOL) == {local, "10.99.3.1"}
    assert pings(own, "172.31.0.100"), "its own network is internal, the node's pool is not"
    with tcp_echo(other, 80):
        assert tcp_exchange(own, "10.99.3.2", 80) == b"hello"
    assert addresses(ask(own, "db")) == {"10.99.3.2"}
    assert change(hosts.one, both, own, NetworkOptions(internal_only=True)) == {"10.99.3.1"}
    left = hosts.one.network.task_link(alone.task_id)
    assert (left.mac_address, left.pool_address) == (link.mac_address, "")
    assert not pings(own, "172.31.0.100")
    assert inside_routes(own) == {"10.99.3.0/24"}
    assert pings(own, "10.99.3.2")
    assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_addresses_of_both_families_come_and_go(hosts: Hosts) -> None:
    hosts.start()
    networks = [dual(1), dual(2)]
    before, both, left = (placed(1, hosts.one, *of) for of in ((1,), (1, 2), (2,)))
    peers = [placed(10 + number, hosts.two, number) for number in (1, 2)]
    hosts.apply(networks, [before, *peers])
    own = hosts.attach(hosts.one, task(before)).netns_fd
    for each in peers:
        hosts.attach(hosts.two, task(each))
    hosts.apply(networks, [both, *peers])
    change(hosts.one, both, own)
    for number in (1, 2):
        assert pings(own, f"fd99:{number}::{10 + number}")
    hosts.apply(networks, [left, *peers])
    change(hosts.one, left, own)
    assert pings(own, "fd99:2::12")
    assert not pings(own, "fd99:1::11")
    text = run(own, "ip", "-6", "-o", "addr", "show", "dev", "eth0") + run(own, "ip", "-6", "route")
    assert "fd99:2::" in text and "fd99:1:" not in text
    assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_a_container_without_a_link_gets_one(hosts: Hosts) -> None:
    hosts.start()
    own = hosts.namespace()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1, service="db")
    hosts.apply(NETWORKS, [here, there])
    other = hosts.attach(hosts.two, task(there)).netns_fd
    assert change(hosts.one, here, own, NetworkOptions(mac="02:00:00:00:00:07")) == {"10.99.1.1"}
    assert "02:00:00:00:00:07" in run(own, "ip", "-o", "link", "show", "eth0")
    with tcp_echo(own, 80):
        assert tcp_exchange(other, "10.99.1.1", 80) == b"hello"
        hosts.one.stop()
        hosts.one.start()
        hosts.one.call(hosts.one.network.recover([task(here)]))
        hosts.apply(NETWORKS, [here, there])
        assert tcp_exchange(other, "10.99.1.1", 80) == b"hello"
    assert change(hosts.one, endpoint(1, hosts.one), own, NetworkOptions(internal_only=True)) == set()
    assert inside_addresses(own) == set()
    assert not pings(other, "10.99.1.1")
    assert hosts.one.call(hosts.one.network.reconcile()) == []
    hosts.one.call(hosts.one.network.detach(here.task_id))
    assert until(lambda: "sh-ask000000001" not in run(hosts.one.descriptor, "ip", "-o", "link"))


def test_a_container_whose_link_was_lost_half_made_gets_another(hosts: Hosts) -> None:
    """An agent that starts deletes a link that its predecessor made and did not live to name."""
    hosts.start()
    own = hosts.namespace()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply(NETWORKS, [here, there])
    other = hosts.attach(hosts.two, task(there)).netns_fd
    assert change(hosts.one, here, own) == {"10.99.1.1"}
    hosts.one.stop()
    run(own, "ip", "link", "delete", "eth0")
    hosts.one.start()
    hosts.one.call(hosts.one.network.recover([task(here)]))
    hosts.apply(NETWORKS, [here, there])
    assert change(hosts.one, here, own) == {"10.99.1.1"}
    assert inside_addresses(own) == {"10.99.1.1"}
    assert until(lambda: pings(other, "10.99.1.1"))  # a link that has just come up sends a moment later


def test_a_mac_address_of_ones_own(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply(NETWORKS, [here, there])
    own = hosts.attach(hosts.one, task(here), mac="02:42:ac:11:00:02").netns_fd
    other = hosts.attach(hosts.two, task(there)).netns_fd
    assert "02:42:ac:11:00:02" in run(own, "ip", "-o", "link", "show", "eth0")
    assert pings(own, "10.99.1.2")
    assert pings(other, "10.99.1.1")
    assert hosts.one.call(hosts.one.network.reconcile()) == []


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes_and_restarts_ends_in_what_was_asked_last(hosts: Hosts, seed: int) -> None:
    """A change may be lost with the agent: its successor knows the task's last addresses, and applies them again."""
    chance = random.Random(seed)
    hosts.start()
    peers = [endpoint(10 + number, hosts.two, number) for number in (1, 2, 3)]
    here = endpoint(1, hosts.one, 1)
    hosts.apply(NETWORKS, [here, *peers])
    own = hosts.attach(hosts.one, task(here)).netns_fd
    for each in peers:
        hosts.attach(hosts.two, task(each))
    for _ in range(10):
        chosen = [number for number in (1, 2, 3) if chance.random() < 0.5]
        is_internal = not chosen or chosen == [3]
        options = POOL if chance.random() < 0.4 else NetworkOptions(internal_only=is_internal)
        here = endpoint(1, hosts.one, *chosen)
        hosts.apply(NETWORKS, [here, *peers])
        if chance.random() < 0.4:
            if chance.random() < 0.5:
                change(hosts.one, here, own, options)
            hosts.one.stop()
            hosts.one.start()
            hosts.one.call(hosts.one.network.recover([task(here)]))
            hosts.apply(NETWORKS, [here, *peers])
        found = change(hosts.one, here, own, options)
        expected = {f"10.99.{number}.1" for number in chosen}
        pool = {address for address in found if address.startswith("172.30.")}
        assert len(pool) == options.node_pool
        assert inside_addresses(own) == found == expected | pool
        has_egress = options.node_pool or any(number != 3 for number in chosen)
        networks = {f"10.99.{number}.0/24" for number in chosen}
        assert inside_routes(own) == networks | ({"default"} if has_egress else set())
        for number in (1, 2, 3):
            assert pings(own, f"10.99.{number}.{10 + number}") == (number in chosen), (seed, number, chosen)
        assert pings(own, "172.31.0.100") == has_egress
        assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_a_link_is_a_name_and_a_way_in_the_nodes_own_pool(hosts: Hosts) -> None:
    hosts.start()
    web, db, third = (endpoint(number, hosts.one) for number in (1, 2, 3))
    hosts.apply([], [])
    links = {"db": "0000000000db0", "store": "0000000000db0"}
    linking: dict[str, Any] = {"node_pool": True, "container_id": "000000000web0", "links": links}
    own = hosts.attach(hosts.one, task(web), **linking).netns_fd
    other = hosts.attach(hosts.one, task(third), node_pool=True, container_id="000000000thr0").netns_fd
    assert ask(own, "db").answer == []
    target = hosts.attach(hosts.one, task(db), node_pool=True, container_id="0000000000db0").netns_fd
    (address,) = inside_addresses(target)
    with tcp_echo(target, 80), tcp_echo(own, 81):
        for _ in range(2):
            assert addresses(ask(own, "store")) == addresses(ask(own, "DB")) == {address}
            assert tcp_exchange(own, address, 80) == b"hello"
            assert refused(other, address, 80), "it is not linked"
            assert refused(target, inside_addresses(own).pop(), 81), "a link has one direction"
            hosts.one.stop()
            hosts.one.start()
            options = {web.task_id: NetworkOptions(**linking), db.task_id: NetworkOptions(container_id="0000000000db0")}
            hosts.one.call(hosts.one.network.recover([task(web), task(db), task(third)], options))
            hosts.apply([], [])
            assert hosts.one.call(hosts.one.network.reconcile()) == []
    hosts.one.call(hosts.one.network.detach(db.task_id))
    assert ask(own, "db").answer == []
    again = endpoint(4, hosts.one)
    target = hosts.attach(hosts.one, task(again), node_pool=True, container_id="0000000000db0").netns_fd
    (later,) = inside_addresses(target)
    assert addresses(ask(own, "db")) == {later}
    assert pings(own, later)
    assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_a_link_on_a_network_is_a_name(hosts: Hosts) -> None:
    hosts.start()
    identifier = "0000000000db0"
    aliases = {"net1": Aliases(names=[short_container_id(identifier)])}
    web, db = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1, service="database", aliases=aliases)
    hosts.apply(NETWORKS, [web, db])
    own = hosts.attach(hosts.one, task(web), container_id="000000000web0", links={"db": identifier}).netns_fd
    assert addresses(ask(own, "db")) == addresses(ask(own, "database")) == {"10.99.1.2"}
    hosts.attach(hosts.two, task(db))
    assert pings(own, "10.99.1.2")
