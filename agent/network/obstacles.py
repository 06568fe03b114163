"""Other programs' rules and settings of this host that stand in the way of containers' traffic, and what to do."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.network.names import FAMILY, LINK_PREFIX, TABLE, VXLAN_DEVICE

_ALL_RP_FILTER = Path("/proc/sys/net/ipv4/conf/all/rp_filter")
STRICT, LOOSE = 1, 2
"""Values of rp_filter (ip-sysctl): senders whose replies would leave by another interface are dropped; senders that
nothing leads to are."""


def reverse_path_filter() -> int:
    """What our links have for rp_filter: nothing, or the loose mode where the host checks strictly on all links.

    The kernel takes the greater of the link's and the host's own value, so a strict host cannot be switched off for a
    link, but made loose: a client led here by another node has its way back by that one, not by the link it came from.
    """
    return LOOSE if int(_ALL_RP_FILTER.read_text()) == STRICT else 0


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
