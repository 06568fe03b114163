"""The network survives its agent, is set right after others meddle, and goes without a trace."""

import pytest

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskAddress, TaskPort
from shoal.errors import InvalidInput, Unavailable
from tests.integration.network.netns_hosts import (
    Hosts,
    endpoint,
    inside,
    ip,
    network,
    pings,
    refused,
    run,
    task,
    tcp_echo,
    tcp_exchange,
    until,
)

HTTP = TaskPort(protocol=PublishedPort.TCP, target=80, published=8080)


def picture(hosts: Hosts) -> str:
    """Everything of the network on host one that an agent may leave: forwarding stays on, and with it the groups of
    IPv6's routers (RFC 4291, 2.7.1), since others may have come to need it."""
    fd = hosts.one.descriptor
    groups = run(fd, "bridge", "fdb", "show", "dev", "eth0").splitlines()
    parts = (
        run(fd, "ip", "-o", "link"),
        run(fd, "ip", "route"),
        run(fd, "ip", "neigh", "show", "nud", "permanent"),
        *(line for line in groups if not line.startswith("33:33:")),
        run(fd, "nft", "list", "ruleset"),
    )
    return "\n".join(parts)


def test_reset_leaves_the_host_as_it_was(hosts: Hosts) -> None:
    before = picture(hosts)
    hosts.start()
    hosts.apply([network(1)], [here := endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)])
    hosts.attach(hosts.one, task(here, HTTP))
    assert picture(hosts) != before

    hosts.one.call(hosts.one.network.reset())
    hosts.one.stop()
    assert until(lambda: picture(hosts) == before), picture(hosts)


def test_a_new_agent_adopts_what_lives_and_removes_the_rest(hosts: Hosts) -> None:
    hosts.start()
    kept, gone, far = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 1), endpoint(3, hosts.two, 1)
    nowhere = endpoint(4, hosts.one)
    tables = ([network(1)], [kept, gone, far])
    hosts.apply(*tables)
    inner = hosts.attach(hosts.one, task(kept, HTTP)).netns_fd
    hosts.attach(hosts.one, task(gone))
    local = hosts.attach(hosts.one, task(nowhere)).netns_fd
    remote = hosts.attach(hosts.two, task(far)).netns_fd

    hosts.one.stop()
    with tcp_echo(inner, 80), tcp_echo(remote, 81):
        assert tcp_exchange(remote, "10.99.1.1", 80) == b"hello"
        assert tcp_exchange(hosts.client, "172.31.0.1", 8080) == b"hello"

        hosts.one.start()
        hosts.one.call(hosts.one.network.recover([task(kept, HTTP), task(nowhere)]))
        # No manager has spoken yet.
        assert hosts.one.call(hosts.one.network.reconcile()) == []
        assert tcp_exchange(remote, "10.99.1.1", 80) == b"hello"
        assert tcp_exchange(inner, "10.99.1.3", 81) == b"hello"
        hosts.apply(*tables)

        assert tcp_exchange(remote, "10.99.1.1", 80) == b"hello"
        assert tcp_exchange(hosts.client, "172.31.0.1", 8080) == b"hello"
    assert pings(local, "172.31.0.100")
    links = run(hosts.one.descriptor, "ip", "-o", "link")
    assert "sh-ask000000001" in links
    assert "sh-ask000000002" not in links
    assert hosts.one.call(hosts.one.network.reconcile()) == []
    assert "8080" in run(hosts.one.descriptor, "nft", "list", "map", "inet", "shoal", "published")

    hosts.one.call(hosts.one.network.detach(kept.task_id))
    assert refused(hosts.client, "172.31.0.1", 8080)
    assert until(lambda: "sh-ask000000001" not in run(hosts.one.descriptor, "ip", "-o", "link"))


@pytest.mark.parametrize(
    "damage",
    [
        "ip route del 10.99.1.2",
        "ip route del 10.99.1.1",
        "ip route flush proto 83",
        "ip neigh flush nud permanent dev shoal-vx",
        "ip neigh flush all nud permanent",
        "bridge fdb flush dev shoal-vx",
        "ip link set shoal-vx down",
        "ip link del shoal-vx",
        "ip link set shoal-vx mtu 1200",
        "ip addr flush dev shoal-vx",
        "nft delete table inet shoal",
        "nft flush table inet shoal",
        "nft flush chain inet shoal dnat_forwarded",
        "nft flush set inet shoal task_addresses",
        "nft flush set inet shoal same_network",
        "nft flush map inet shoal published",
        "nft add element inet shoal peers { 172.31.0.77 }",
        "sysctl -qw net.ipv4.ip_forward=0",
        "ip link set sh-ask000000001 down",
        "ip link set sh-ask000000001 mtu 600",
        "ip link set sh-ask000000001 alias mine",
        "ip link set sh-ask000000001 group 0",
        "ip link set shoal-vx group 0",
        "ip link add br9 type bridge && ip link set br9 up && ip link set sh-ask000000001 master br9",
        "ip link add br9 type bridge && ip link set br9 up && ip link set shoal-vx master br9",
        "nft insert rule inet shoal from_container accept && nft delete rule inet shoal from_container handle "
        "$(nft -a list chain inet shoal from_container | sed -n 's/.*invalid drop # handle //p')",
    ],
)
def test_damage_is_found_and_set_right(hosts: Hosts, damage: str) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    inner = hosts.attach(hosts.one, task(here, HTTP)).netns_fd
    hosts.attach(hosts.two, task(there))
    verify = hosts.one.network.reconcile
    assert hosts.one.call(verify()) == []

    run(hosts.one.descriptor, "sh", "-c", damage)

    assert hosts.one.call(verify())
    assert hosts.one.call(verify()) == []
    # The kernel announces a link that is set up as much as a second later.
    assert until(lambda: pings(inner, "10.99.1.2"))
    with tcp_echo(inner, 80):
        assert tcp_exchange(hosts.client, "172.31.0.1", 8080) == b"hello"


def test_what_the_kernel_refuses_keeps_nothing_else_back_and_is_reported_until_it_is_done(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    inner = hosts.attach(hosts.one, task(here)).netns_fd
    hosts.attach(hosts.two, task(there))
    own = hosts.one.network
    # A next hop on our device is refused while that is down; something keeps it so, until the comparison.
    ip(hosts.one.descriptor, "link set shoal-vx down")
    more = endpoint(3, hosts.two, 1)
    hosts.apply([network(1), network(2)], [here, there, more])
    assert "10.99.2.0/24" in hosts.one.nft("list set inet shoal same_network")
    (reported,) = own.condition.current.problems
    assert "to add route to 10.99.1.3/32: " in reported
    assert "subnet" not in reported

    assert hosts.one.call(own.reconcile())
    assert not own.condition.current.problems
    assert own.condition.current.repaired.count == 1
    assert until(lambda: pings(inner, "10.99.1.2"))
    assert "10.99.1.3" in run(hosts.one.descriptor, "ip", "route")


def test_a_repair_that_an_application_makes_is_reported(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [])
    hosts.one.nft("delete table inet shoal")
    hosts.apply([network(1), network(2)], [])
    assert "table shoal was missing" in hosts.one.network.condition.current.repaired.description


def test_the_comparison_runs_by_itself(hosts: Hosts) -> None:
    hosts.start(reconcile_seconds=0.1)
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    inner = hosts.attach(hosts.one, task(here)).netns_fd
    hosts.attach(hosts.two, task(there))
    ip(hosts.one.descriptor, "route flush proto 83")
    assert until(lambda: pings(inner, "10.99.1.2"))


def test_apply_sets_right_what_others_changed_in_the_table(hosts: Hosts) -> None:
    hosts.start()
    here = endpoint(1, hosts.one, 1)
    hosts.apply([network(1)], [here])
    hosts.one.nft("delete table inet shoal")
    hosts.apply([network(1), network(2)], [here])
    assert "10.99.2.0/24" in hosts.one.nft("list set inet shoal same_network")
    hosts.one.nft("flush set inet shoal same_network")
    hosts.apply([network(1)], [])
    assert "10.99.1.0/24" in hosts.one.nft("list set inet shoal same_network")


def test_an_endpoint_that_moves_is_reached_at_its_new_node(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    inner = hosts.attach(hosts.one, task(here)).netns_fd
    hosts.attach(hosts.two, task(there))
    assert pings(inner, "10.99.1.2")
    hosts.two.call(hosts.two.network.detach(there.task_id))
    moved = endpoint(2, hosts.one, 1)
    moved.task_id = "task00000000x"
    hosts.apply([network(1)], [here, moved])
    hosts.attach(hosts.one, task(moved))
    assert pings(inner, "10.99.1.2")
    assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_thousands_of_endpoints_are_programmed_and_withdrawn(hosts: Hosts) -> None:
    hosts.start()
    wide = NetworkAssignment(network_id="wide", name="wide", subnet="10.100.0.0/16")
    many = [
        TaskEndpoint(
            task_id=f"task{number:09}",
            service_name="many",
            slot=number,
            node_id="node2",
            ready=True,
            addresses=[TaskAddress(network_id="wide", address=f"10.100.{number >> 8}.{number & 255}")],
        )
        for number in range(1, 5001)
    ]
    hosts.apply([wide], many)
    assert len(run(hosts.one.descriptor, "ip", "route").splitlines()) > 5000
    assert hosts.one.call(hosts.one.network.reconcile()) == []
    run(hosts.one.descriptor, "ip", "route", "del", "10.100.1.1")
    hosts.apply([wide], [])
    assert len(run(hosts.one.descriptor, "ip", "route").splitlines()) < 10
    assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_tables_that_are_none_change_nothing(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [])
    bad = NetworkAssignment(network_id="x", name="bad", subnet="10.99.1.128/25")
    with pytest.raises(InvalidInput, match="overlaps"):
        hosts.apply([network(1), bad], [])
    with pytest.raises(InvalidInput, match="invalid subnet"):
        hosts.apply([NetworkAssignment(network_id="x", name="bad", subnet="nonsense")], [])
    assert "10.99.1.0/24" in hosts.one.nft("list set inet shoal same_network")


def test_attaching_twice_is_one_attachment_and_an_unknown_network_none(hosts: Hosts) -> None:
    hosts.start()
    here = endpoint(1, hosts.one, 1)
    with pytest.raises(Unavailable, match="net1 of task"):
        hosts.attach(hosts.one, task(here))
    hosts.apply([network(1)], [here])
    first, second = (hosts.attach(hosts.one, task(here)) for _ in range(2))
    assert first.addresses == second.addresses
    with inside(first.netns_fd):
        pass
    assert run(first.netns_fd, "readlink", "/proc/self/ns/net") == run(second.netns_fd, "readlink", "/proc/self/ns/net")
