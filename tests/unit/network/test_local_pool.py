"""Which pool a node takes for itself, and what of its routes it tells."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest

from agent.network.attachments.local_pool import CANDIDATES, DEFAULT_POOL, choose_pool
from agent.network.host.host_routes import MAX_PREFIXES_PER_FAMILY, server_prefixes, widest
from agent.network.nftables import set_elements
from shoal.networks.address_pools import DEFAULT_POOL as OF_NETWORKS

OTHER, THIRD = IPv4Network("172.29.0.0/16"), IPv4Network("192.168.7.0/24")


def choose(
    *, reported: str = "", before: str = "", used: Iterable[str] = (), prefixes: Iterable[str] = ("192.0.2.0/24",)
) -> IPv4Network:
    return choose_pool(
        configured=IPv4Network(reported) if reported else None,
        previous=IPv4Network(before) if before else None,
        used=list(map(IPv4Address, used)),
        host_prefixes=list(map(ip_network, prefixes)),
    )


@pytest.mark.parametrize("prefix", ["172.30.0.0/16", "172.30.4.0/24", "172.30.0.0/15"])
def test_a_pool_that_the_host_routes_is_passed_over(prefix: str) -> None:
    assert choose() == DEFAULT_POOL
    assert choose(prefixes=[prefix, "fd00::/8"]) == OTHER


def test_what_is_told_counts_even_where_the_host_routes_it() -> None:
    assert choose(reported=str(THIRD), prefixes=["192.168.0.0/16"]) == THIRD


def test_the_pool_stays_while_containers_have_addresses_of_it() -> None:
    assert choose(before=str(OTHER), used=["172.29.0.4"], prefixes=["172.29.0.0/24"]) == OTHER
    assert choose(reported=str(THIRD), before=str(OTHER), used=["172.29.0.4"]) == OTHER
    assert choose(reported=str(THIRD), before=str(OTHER)) == THIRD
    assert choose(before=str(OTHER), prefixes=["172.29.0.0/24"]) == DEFAULT_POOL


def test_it_stays_without_need_to_change() -> None:
    assert choose(before=str(OTHER)) == OTHER


def test_where_all_is_routed_there_is_one_nevertheless() -> None:
    assert choose(prefixes=["128.0.0.0/1", "0.0.0.0/1"]) == DEFAULT_POOL
    assert choose(before=str(OTHER), prefixes=["128.0.0.0/1", "0.0.0.0/1"]) == OTHER


def test_candidates_are_apart_from_each_other_and_from_what_networks_get() -> None:
    ordered = sorted(CANDIDATES)
    assert not any(left.overlaps(right) for left, right in pairwise(ordered))
    assert not any(map(IPv4Network(OF_NETWORKS).overlaps, ordered))
    assert all(each.is_private or each.subnet_of(IPv4Network("100.64.0.0/10")) for each in ordered)


def test_a_later_process_reads_the_pool_from_the_table() -> None:
    found = set_elements.merge(set_elements.NO_ELEMENTS, set_elements.pool_elements(OTHER))
    assert set_elements.local_pool_of(found) == OTHER
    assert set_elements.local_pool_of(set_elements.NO_ELEMENTS) is None
    assert set_elements.difference(found, set_elements.pool_elements(OTHER)) == set_elements.NO_ELEMENTS


def test_name_servers_elsewhere_are_prefixes() -> None:
    servers = map(ip_address, ("10.255.255.53", "127.0.0.53", "fd00::53", "::1"))
    assert server_prefixes(servers) == [IPv4Network("10.255.255.53/32"), IPv6Network("fd00::53/128")]
    assert choose(prefixes=["172.30.9.53/32"]) == OTHER


def test_prefixes_within_others_are_not_told_and_of_very_many_the_widest() -> None:
    assert widest(map(ip_network, ("10.0.0.0/8", "10.1.0.0/16", "fe80::/64", "fd01::/64"))) == [
        IPv4Network("10.0.0.0/8"),
        IPv6Network("fd01::/64"),
    ]
    many = [IPv4Network((number << 9, 24)) for number in range(300)]
    found = widest([*many, IPv4Network("192.0.0.0/16")])
    assert len(found) == MAX_PREFIXES_PER_FAMILY
    assert found[0] == IPv4Network("192.0.0.0/16")
