"""What a node is to others: its name, its address, and the labels and platform that constraints compare. Pure.

An agent's word settles it once, at the node's first session; from then on it is in the node's spec, and only a user
changes it. So a certificate in the wrong hands cannot take another node's place, neither in a constraint nor at the end
of a tunnel. What an agent says otherwise is kept beside it, for a user to accept.
"""

import re
import shlex
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from manager.store.tables import View
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeIdentity, NodeStatus
from shoal.vtep import vtep_mac

HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_LABELS_NAMED = 4


def identity_of(about: NodeDescription) -> NodeIdentity:
    """As a description has it; addresses in their usual form."""
    return NodeIdentity(
        hostname=about.hostname,
        address=usual(about.address),
        engine_labels=about.engine_labels,
        platform=about.platform if about.HasField("platform") else None,
    )


def usual(address: str) -> str:
    """The same address as every program writes it (RFC 5952); text that is none stays as it is."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def is_reachable(address: str) -> bool:
    """Whether other hosts can send to it: one host's address, with no need to say by which interface."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and (found.scope_id is not None or found.ipv4_mapped is not None):
        return False
    odd = found.is_multicast or found.is_unspecified or found.is_link_local
    return not (odd or (isinstance(found, IPv4Address) and found.is_reserved))


def pinned(node: Node) -> NodeIdentity | None:
    """What the node was settled as; None before its first session."""
    return node.spec.identity if node.spec.HasField("identity") else None


def settled(known: NodeIdentity | None, told: NodeIdentity) -> NodeIdentity:
    """What a session settles: everything at the first one, later only what none has told yet."""
    if known is None:
        return told
    whole = NodeIdentity()
    whole.CopyFrom(known)
    whole.hostname = known.hostname or told.hostname
    whole.address = known.address or told.address
    if not known.HasField("platform") and told.HasField("platform"):
        whole.platform.CopyFrom(told.platform)
    return whole


def claim(identity: NodeIdentity, told: NodeIdentity) -> NodeIdentity | None:
    """What an agent says, where something of it is not so; None when all is. What it leaves out it does not deny."""
    filled = settled(told, identity)
    return None if filled == identity else told


def described(about: NodeDescription, identity: NodeIdentity) -> NodeDescription:
    """The description as others are to have it. The MAC address of its tunnels is made of the address."""
    copy = NodeDescription()
    copy.CopyFrom(about)
    copy.hostname, copy.address = identity.hostname, identity.address
    copy.ClearField("engine_labels")
    copy.engine_labels.update(identity.engine_labels)
    if identity.HasField("platform"):
        copy.platform.CopyFrom(identity.platform)
    copy.vtep_mac = vtep_mac(ip_address(identity.address)) if is_reachable(identity.address) else ""
    return copy


def names(identity: NodeIdentity | None) -> Iterator[str]:
    """Identifiers of the name records that keep two nodes from having the same hostname or address.

    Addresses of the loopback interface lead nowhere but to the sender's own host, so that nobody can take another's.
    """
    if identity is None:
        return
    if identity.hostname:
        yield f"node/{identity.hostname.lower()}"
    if identity.address and not ip_address(identity.address).is_loopback:
        yield f"node-address/{identity.address}"


def holder(view: View, name: str) -> str:
    """Id of the node that has the name record; empty when it is free."""
    record = view.names.get(name)
    return record.meta.id if record is not None and record.meta.id in view.nodes else ""


def taken(view: View, name: str, other: str) -> str:
    """Why a node cannot have a hostname or address, in words.

    Args:
        name: identifier of the name record.
        other: id of the node that has it.
    """
    what, _, value = name.partition("/")
    noun = "address" if what == "node-address" else "hostname"
    advice = "--advertise-address" if noun == "address" else "--hostname"
    called = hostname(view, other)
    which = f"node {other}" if called in ("", other, value) else f"node {called} ({other})"
    return (
        f"the {noun} {value} is that of {which}: if that host is gone, or was reset, run `shoal node rm {other}`; else "
        f"start this agent with another {advice}"
    )


def hostname(view: View, node_id: str) -> str:
    """The node's name, or its id while it is not known."""
    node, status = view.nodes.get(node_id), view.node_status.get(node_id)
    known = node.spec.identity.hostname if node is not None else ""
    return known or (status.description.hostname if status is not None else "") or node_id


def moved(node_id: str, identity: NodeIdentity, address: str) -> str:
    """Why a node with another address than it was settled with is kept out, in words."""
    command = shlex.join(["shoal", "node", "update", "--address", address, identity.hostname or node_id])
    return f"its address is {address}, not {identity.address}: if it is right, run `{command}`, and it comes back"


def claims(node: Node, status: NodeStatus) -> Iterator[str]:
    """What an agent says of its node that is not so, one line each for the user."""
    if not status.HasField("claimed") or not node.spec.HasField("identity"):
        return
    identity, told = node.spec.identity, status.claimed
    update = ["shoal", "node", "update"]
    name = identity.hostname or node.meta.id
    if told.hostname and told.hostname != identity.hostname:
        advice = ""
        if HOSTNAME.fullmatch(told.hostname):
            advice = f"; to rename it, run `{shlex.join([*update, '--hostname', told.hostname, name])}`"
        yield f'its agent calls it "{told.hostname}"{advice}'
    if told.engine_labels != identity.engine_labels:
        yield _of_labels(dict(identity.engine_labels), dict(told.engine_labels), update, name)
    if told.HasField("platform") and told.platform != identity.platform:
        says, is_so = (f"{each.os}/{each.architecture}" for each in (told.platform, identity.platform))
        yield f"its agent says that it is {says}, not {is_so}; if that is right, remove the node and let it join anew"


def _of_labels(known: dict[str, str], told: dict[str, str], update: list[str], name: str) -> str:
    added = [f"{key}={value}" for key, value in sorted(told.items()) if known.get(key) != value]
    gone = sorted(known.keys() - told.keys())
    if len(added) + len(gone) > _LABELS_NAMED:
        number = len(added) + len(gone)
        return f"{number} of its agent's labels are not accepted; `claimed` in `shoal node inspect` has all"
    flags = [word for each in added for word in ("--engine-label-add", each)]
    flags += [word for each in gone for word in ("--engine-label-rm", each)]
    return f"its agent has other labels; to accept them, run `{shlex.join([*update, *flags, name])}`"
