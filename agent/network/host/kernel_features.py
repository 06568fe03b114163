"""Finds which missing kernel feature makes the kernel refuse our devices or rules.

No user can act on "operation not supported".
"""

import errno
import os
from collections.abc import Callable, Iterator

from shoal.errors import Unavailable

_PROBE_TABLE = "inet shoal-probe"
_FEATURES = (
    ("nftables connection tracking (CONFIG_NFT_CT)", "filter hook input priority 0", "ct state new ct mark set 1"),
    ("NAT (CONFIG_NFT_NAT)", "nat hook prerouting priority -100", "dnat ip to 192.0.2.1"),
    ("masquerade (CONFIG_NFT_MASQ)", "nat hook postrouting priority 100", "masquerade"),
    ("fib lookups (CONFIG_NFT_FIB_INET)", "filter hook prerouting priority 0", "fib daddr type local"),
    ("numgen (CONFIG_NFT_NUMGEN)", "filter hook input priority 0", "numgen random mod 2 0"),
    ("reject (CONFIG_NFT_REJECT_INET)", "filter hook input priority 0", "reject with icmpx type admin-prohibited"),
    (
        "MSS clamping (CONFIG_NFT_COMPAT or nft_exthdr)",
        "filter hook forward priority 0",
        "tcp option maxseg size set rt mtu",
    ),
    ("rate limits (CONFIG_NFT_LIMIT)", "filter hook prerouting priority -300", "limit rate over 1/second drop"),
    (
        "conntrack zones (CONFIG_NF_CONNTRACK_ZONES)",
        "filter hook prerouting priority -300",
        "ct original zone set 1",
    ),
    ("notrack (CONFIG_NFT_CT)", "filter hook prerouting priority -300", "notrack"),
)


def missing_features(run: Callable[[str], None]) -> Iterator[str]:
    """The nftables features that the kernel refuses. Each is tried in a transaction that undoes itself.

    Args:
        run: executes an nft transaction; raises Unavailable when it is refused.
    """
    try:
        run(f"add table {_PROBE_TABLE}\ndelete table {_PROBE_TABLE}")
    except Unavailable:
        yield "nftables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)"
        return
    for name, hook, rule in _FEATURES:
        try:
            run(
                f"add table {_PROBE_TABLE}\nadd chain {_PROBE_TABLE} c {{ type {hook}; }}\n"
                f"add rule {_PROBE_TABLE} c {rule}\ndelete table {_PROBE_TABLE}"
            )
        except Unavailable:
            yield name


def supports_ipsec_match(run: Callable[[str], None]) -> bool:
    """Whether rules can match packets encrypted by IPsec; tried as in `missing_features`."""
    try:
        run(
            f"add table {_PROBE_TABLE}\nadd chain {_PROBE_TABLE} i {{ type filter hook input priority 0; }}\n"
            f"add rule {_PROBE_TABLE} i meta ipsec missing\n"
            f"add chain {_PROBE_TABLE} o {{ type filter hook output priority 0; }}\n"
            f"add rule {_PROBE_TABLE} o rt ipsec missing\ndelete table {_PROBE_TABLE}"
        )
    except Unavailable:
        return False
    return True


def explain_rules_error(error: Unavailable, run: Callable[[str], None]) -> Unavailable:
    """The refusal of our table, naming the missing features where that is the reason."""
    features = ", ".join(missing_features(run))
    if not features:
        return error
    return Unavailable(f"the kernel does not support {features}: load the modules, or use a kernel that has them")


def explain_link_error(error: Unavailable) -> Unavailable:
    """The refusal of a container's namespace or link, likewise."""
    if os.strerror(errno.EOPNOTSUPP) in str(error):
        return Unavailable(
            "the kernel does not support veth (CONFIG_VETH): load the module veth, or use a kernel that has it"
        )
    if "network namespace" in str(error) and os.strerror(errno.EINVAL) in str(error):
        return Unavailable("the kernel does not support network namespaces (CONFIG_NET_NS): use a kernel that does")
    return error


def explain_vxlan_error(error: Unavailable) -> Unavailable:
    """The refusal of our VXLAN device, likewise."""
    if os.strerror(errno.EOPNOTSUPP) not in str(error):
        return error
    return Unavailable(
        "the kernel does not support VXLAN (CONFIG_VXLAN): load the module vxlan, or use a kernel that has it"
    )
