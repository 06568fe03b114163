"""Derives the IPv6 rules, sets and maps from the IPv4 ones."""

import re
from collections.abc import Mapping

_WORDS = {
    "ip saddr": "ip6 saddr",
    "ip daddr": "ip6 daddr",
    "rt ip nexthop": "rt ip6 nexthop",
    "dnat ip to": "dnat ip6 to",
    "snat ip to": "snat ip6 to",
    "icmp type": "icmpv6 type",
    "ipv4_addr": "ipv6_addr",
    "nfproto ipv4": "nfproto ipv6",
}
_WORD = re.compile("|".join(rf"\b{word}\b" for word in _WORDS))


def ipv6_name(name: str) -> str:
    """The name of the set, map or chain for IPv6, for example "same_network6", "virtual6_64"."""
    return re.sub(r"(_\d+)?$", r"6\1", name, count=1)


def ipv6_text(text: str, names: Mapping[str, str]) -> str:
    """A rule or a type for IPv6.

    Args:
        names: addresses, sets, maps and chains in it, with their IPv6 counterparts.
    """
    known = re.compile("|".join(rf"(?<![\w.:]){re.escape(name)}(?![\w.:])" for name in names) or r"(?!)")
    return known.sub(lambda found: names[found[0]], _WORD.sub(lambda found: _WORDS[found[0]], text))
