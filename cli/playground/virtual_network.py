"""The virtual network of a playground: a namespace with a bridge, one namespace per host, an uplink to this machine.

Made with the `ip` program: it runs a handful of times in the life of a playground.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cli.playground.layout import Layout, PlaygroundHost
from shoal.errors import Unavailable

NAMESPACES = Path("/run/netns")
_LAN_MAC = "02:00:00:00:00:01"
"""Without one of its own the bridge has the least of its ports': a new host would change it, and neighbours lose it."""

_IPV6_OFF = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")


def ip(*lines: str, namespace: str | None = None) -> None:
    """Run lines of the `ip` program as one batch.

    Raises:
        Unavailable: with the output of `ip`.
    """
    command = ["ip", *(("-n", namespace) if namespace else ()), "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines), text=True, capture_output=True, check=False)
    if done.returncode:
        output = done.stderr.strip().splitlines()
        raise Unavailable(f"ip: {output[0] if output else 'failed'} (in: {'; '.join(lines)})")


def build_network(layout: Layout) -> None:
    """Make the LAN and every host's namespace; sequence matters only in that the LAN comes first."""
    ip(f"netns add {layout.lan}")
    prefix = layout.subnet.prefixlen
    ip(
        "link set lo up",
        f"link add lan address {_LAN_MAC} type bridge",
        f"addr add {layout.manager_address}/{prefix} dev lan",
        *_ipv6(layout, layout.manager_address, "lan"),
        "link set lan up",
        namespace=layout.lan,
    )
    ip(
        f"link add {layout.uplink} type veth peer name uplink netns {layout.lan}",
        f"addr add {layout.uplink_address}/{prefix} dev {layout.uplink}",
        *_ipv6(layout, layout.uplink_address, layout.uplink),
        f"link set {layout.uplink} up",
    )
    ip(
        "link set uplink master lan up",
        f"route add default via {layout.uplink_address}",
        namespace=layout.lan,
    )
    for host in (*layout.other_managers(), *layout.all_hosts()):
        add_host(layout, host)


def add_host(layout: Layout, host: PlaygroundHost) -> None:
    """One more machine on the LAN."""
    ip(f"netns add {host.namespace}")
    ip(f"link add {host.link} type veth peer name eth0 netns {host.namespace}", namespace=layout.lan)
    ip(f"link set {host.link} master lan up", namespace=layout.lan)
    ip(
        "link set lo up",
        f"addr add {host.address}/{layout.subnet.prefixlen} dev eth0",
        *_ipv6(layout, host.address, "eth0"),
        "link set eth0 up",
        f"route add default via {layout.manager_address}",
        namespace=host.namespace,
    )


def _ipv6(layout: Layout, address: IPv4Address, link: str) -> Iterator[str]:
    """The IPv6 address beside this one, where the machine has IPv6 at all."""
    if _IPV6_OFF.exists() and _IPV6_OFF.read_text().strip() == "0":
        yield f"addr add {layout.address6(address)}/{layout.subnet6.prefixlen} dev {link} nodad"


def set_link_state(layout: Layout, host: PlaygroundHost, *, connected: bool) -> None:
    """Disconnect a host from the network, or connect it again."""
    ip(f"link set {host.link} {'up' if connected else 'down'}", namespace=layout.lan)


def playground_namespaces(layout: Layout) -> list[str]:
    """Names of the namespaces that belong to the playground, as the machine has them now."""
    if not NAMESPACES.is_dir():
        return []
    name = re.compile(rf"{re.escape(layout.name)}-(lan|[hm][0-9]+)")
    return sorted(entry.name for entry in NAMESPACES.iterdir() if name.fullmatch(entry.name))


def link_with_subnet(subnet: IPv4Network) -> str | None:
    """The link of this machine with an address of the subnet: another playground's, maybe. None: nobody has it."""
    listed = subprocess.run(["ip", "-json", "-4", "address"], capture_output=True, check=True, text=True).stdout
    for link in json.loads(listed or "[]"):
        if any(IPv4Address(each["local"]) in subnet for each in link.get("addr_info", ())):
            return str(link["ifname"])
    return None


def processes_in(namespace: str) -> Iterator[int]:
    """Every process whose network namespace is this one."""
    with suppress(FileNotFoundError):
        own = (NAMESPACES / namespace).stat()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                found = (entry / "ns/net").stat()
                if os.path.samestat(found, own):
                    yield int(entry.name)


def remove_network(layout: Layout) -> None:
    """Remove the uplink and the namespaces; the processes in them have ended before.

    The uplink first: a namespace takes its ends of links with it, but in its own time.
    """
    if (Path("/sys/class/net") / layout.uplink).exists():
        ip(f"link del {layout.uplink}")
    for namespace in playground_namespaces(layout):
        ip(f"netns del {namespace}")
