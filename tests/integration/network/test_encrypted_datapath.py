"""What a node does when it gets an encrypted network: never in clear, whatever its kernel can.

Where the kernel has WireGuard the tasks reach each other by it (also proven in a virtual machine, `tests/vm`); where it
lacks it they are refused, and nothing else suffers.
"""

import pytest

from shoal.api.v1.dispatcher_pb2 import Peer, TaskEndpoint
from shoal.errors import Unavailable
from tests.integration.network.netns_hosts import Host, Hosts, endpoint, network, pings, run, task, until

PLAIN, SEALED = network(1), network(2)
SEALED.key_generation = 1


def assign(hosts: Hosts, *endpoints: TaskEndpoint) -> None:
    """Both hosts, each with the other's keys as it has them now."""
    for host in (hosts.one, hosts.two):
        host.assign([PLAIN, SEALED], list(endpoints), [peer(hosts.one), peer(hosts.two)])


def peer(host: Host) -> Peer:
    known = host.peer
    known.keys.extend(host.network.key_rollover.public_keys)
    return known


def routes(host: Host) -> list[str]:
    return run(host.descriptor, "ip", "route", "show", "proto", "83").splitlines()


def test_an_encrypted_network_is_never_in_clear(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(5, hosts.one, 2), endpoint(6, hosts.two, 2)
    plain, other = endpoint(7, hosts.one, 1), endpoint(8, hosts.two, 1)
    assign(hosts, here, there, plain, other)
    assign(hosts, here, there, plain, other)
    # Plain tasks do not suffer.
    inside = hosts.attach(hosts.one, task(plain))
    hosts.attach(hosts.two, task(other))
    assert until(lambda: pings(inside.netns_fd, "10.99.1.8"))
    assert not [line for line in routes(hosts.one) if line.startswith("10.99.2.6") and "shoal-vx" in line]
    assert "unreachable 10.99.2.0/24" in " ".join(routes(hosts.one))
    if hosts.one.network.description().features:
        sandbox = hosts.attach(hosts.one, task(here))
        hosts.attach(hosts.two, task(there))
        assert until(lambda: pings(sandbox.netns_fd, "10.99.2.6"))
        return
    assert not hosts.one.network.key_rollover.public_keys
    with pytest.raises(
        Unavailable, match=r"encrypted networks are not available on this node: .*not support WireGuard"
    ):
        hosts.attach(hosts.one, task(here))
    # Nor does it come in by the open tunnel, no matter who sends it.
    assert "10.99.2.0/24" in hosts.one.nft("list set inet shoal encrypted")
    assert "@encrypted drop" in hosts.one.nft("list chain inet shoal drop_unencrypted")
    assert hosts.one.nft("list chain inet shoal from_overlay").count("jump drop_unencrypted") == 2
