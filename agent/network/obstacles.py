"""Other programs' rules and settings of this host that stand in the way of containers' traffic, and what to do."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.network.names import FAMILY, LINK_PREFIX, TABLE, VXLAN_DEVICE

_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_STRICT, _LOOSE = 1, 2
"""Values of rp_filter (ip-sysctl): drop senders whose replies would leave by another interface; or only those that
nothing leads to."""


def loosen() -> bool:
    """Let clients in that another node leads here, on a host that checks the way back of every sender strictly.

    The kernel takes the greater of a link's value and the host's own, so the check cannot be switched off for our
    device, but made loose: such clients have their way back by that node, not by the link that leads to them.

    Returns:
        Whether anything was changed.
    """
    host, device = (_SETTINGS / name / "rp_filter" for name in ("all", VXLAN_DEVICE))
    try:
        if int(host.read_text()) != _STRICT or int(device.read_text()) == _LOOSE:
            return False
        device.write_text(str(_LOOSE))
    except FileNotFoundError:  # the device is gone, and is made anew
        return False
    return True


def dropping_chains(chains: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Family, table and name of other programs' chains that drop what is forwarded unless a rule lets it pass. Pure."""
    return [
        (chain["family"], chain["table"], chain["name"])
        for chain in chains
        if (chain.get("hook"), chain.get("policy")) == ("forward", "drop")
        and chain["family"] in ("ip", "ip6", "inet")
        and (chain["family"], chain["table"]) != (FAMILY, TABLE)
    ]


def lets_us_pass(table: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some rule of a table names our containers' links. Pure."""
    return any("rule" in entry and f'"{LINK_PREFIX}' in json.dumps(entry) for entry in table)


def obstacles(
    list_chains: Callable[[], Iterable[Mapping[str, Any]]],
    list_table: Callable[[str, str], Sequence[Mapping[str, Any]]],
) -> Iterator[str]:
    """A line for each chain that drops containers' traffic, with the command that lets it pass.

    Raises:
        Unavailable: the kernel does not tell.
    """
    for family, table, name in dropping_chains(list_chains()):
        if not lets_us_pass(list_table(family, table)):
            links = f'{{ "{LINK_PREFIX}*", "{VXLAN_DEVICE}" }}'
            yield (
                f"the chain {name} of nftables table {family} {table} drops what containers send: let it pass, by "
                f"nft 'insert rule {family} {table} {name} iifname {links} accept; "
                f"insert rule {family} {table} {name} oifname {links} accept'"
            )
