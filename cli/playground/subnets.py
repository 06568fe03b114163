"""Choose the subnet of a playground; several playgrounds can run on one machine."""

import fcntl
import json
import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from typing import Any

from cli.playground.layout import SUBNET
from cli.playground.virtual_network import NAMESPACES
from shoal.errors import Refused

RANGE = IPv4Network("198.18.0.0/15")
"""Set aside for test networks (RFC 2544), so that it hides no real one."""


@contextmanager
def subnet_lock() -> Iterator[None]:
    """One process of this machine at a time: what it has chosen is in use when the next one looks."""
    # Not the directory of namespaces, which `ip netns add` locks itself.
    directory = os.open(NAMESPACES.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def first_free(used: Collection[IPv4Network], *, first: IPv4Network = SUBNET) -> IPv4Network:
    """The first /24 from `first` on, in the range, that overlaps none of these. Pure.

    Raises:
        Refused: there is none.
    """
    for subnet in RANGE.subnets(new_prefix=24):
        if subnet >= first and not any(subnet.overlaps(each) for each in used):
            return subnet
    raise Refused(f"no free /24 left in {RANGE} on this machine; choose a subnet with --subnet")


def in_use() -> list[IPv4Network]:
    """The subnets of this machine's addresses and routes, but for the default route."""
    found = [
        IPv4Network((each["local"], each["prefixlen"]), strict=False)
        for link in _ip_json("address")
        for each in link.get("addr_info", ())
    ]
    for route in _ip_json("route"):
        with suppress(ValueError):  # "default"
            found.append(IPv4Network(route["dst"]))
    return found


def subnet_of(uplink: str) -> IPv4Network | None:
    """The underlay of the playground that has this uplink; None when there is none."""
    for link in _ip_json("address"):
        for each in link.get("addr_info", ()):
            if link["ifname"] == uplink:
                return IPv4Network((each["local"], each["prefixlen"]), strict=False)
    return None


def _ip_json(what: str) -> list[dict[str, Any]]:
    done = subprocess.run(["ip", "-json", "-4", what], capture_output=True, check=True, text=True)
    return list(json.loads(done.stdout or "[]"))
