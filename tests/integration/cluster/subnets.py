"""Subnets of test clusters: one that nobody has, also where a run that was killed has left its cluster behind."""

import os
from ipaddress import IPv4Network

from cli.playground import virtual_network

_FIRST = IPv4Network("198.18.64.0/24")
_TRIED = 32
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Of pytest-xdist; each begins elsewhere, since two that look at once would find the same one free."""


def free_subnet() -> IPv4Network:
    """SHOAL_TEST_SUBNET if it is set, else the first free one of the range of RFC 2544 with a free one beside it."""
    if given := os.environ.get("SHOAL_TEST_SUBNET"):
        return IPv4Network(given)
    first = int(_FIRST.network_address) + _WORKER % 2 * _TRIED * 256
    candidates = (IPv4Network((first + place * 256, 24)) for place in range(_TRIED))
    return next(
        each
        for each in candidates
        if not virtual_network.link_with_subnet(each) and not virtual_network.link_with_subnet(beside(each))
    )


def beside(subnet: IPv4Network) -> IPv4Network:
    """Another one, for a second cluster at the same time."""
    return IPv4Network((int(subnet.network_address) + 128 * 256, 24))
