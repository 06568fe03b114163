"""A node's identity: its name, its address, and the labels and platform that constraints compare. Pure.

The agent reports it once, at the node's first session; from then on it is in the node's spec, and only a user
changes it. So a stolen certificate cannot take another node's place, neither in a constraint nor at the end
of a tunnel. What an agent reports differently is kept beside it, for a user to accept.
"""

import re
import shlex
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from manager.store.tables import View
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeIdentity, NodeStatus
from shoal.networks.vtep import vtep_mac

HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_MAX_LABELS_LISTED = 4


def identity_of(description: NodeDescription) -> NodeIdentity:
    """The identity in a description, with a canonical address."""
    return NodeIdentity(
        hostname=description.hostname,
        address=normalized(description.address),
        engine_labels=description.engine_labels,
        platform=description.platform if description.HasField("platform") else None,
    )


def normalized(address: str) -> str:
    """The address in canonical form (RFC 5952); text that is no address is returned unchanged."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def is_reachable(address: str) -> bool:
    """Whether other hosts can reach it: a unicast address without a scope."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and (found.scope_id is not None or found.ipv4_mapped is not None):
        return False
    unusable = found.is_multicast or found.is_unspecified or found.is_link_local
    return not (unusable or (isinstance(found, IPv4Address) and found.is_reserved))


def recorded(node: Node) -> NodeIdentity | None:
    """The identity recorded for the node; None before its first session."""
    return node.spec.identity if node.spec.HasField("identity") else None


def merged(known: NodeIdentity | None, reported: NodeIdentity) -> NodeIdentity:
    """The recorded identity, completed by the reported one: everything at first, later only missing parts."""
    if known is None:
        return reported
    whole = NodeIdentity()
    whole.CopyFrom(known)
    whole.hostname = known.hostname or reported.hostname
    whole.address = known.address or reported.address
    if not known.HasField("platform") and reported.HasField("platform"):
        whole.platform.CopyFrom(reported.platform)
    return whole


def deviation(identity: NodeIdentity, reported: NodeIdentity) -> NodeIdentity | None:
    """The reported identity if it deviates from the recorded one, else None. Missing parts do not deviate."""
    filled = merged(reported, identity)
    return None if filled == identity else reported


def with_identity(description: NodeDescription, identity: NodeIdentity) -> NodeDescription:
    """The description with the recorded identity. The MAC address of its tunnels is derived from the address."""
    copy = NodeDescription()
    copy.CopyFrom(description)
    copy.hostname, copy.address = identity.hostname, identity.address
    copy.ClearField("engine_labels")
    copy.engine_labels.update(identity.engine_labels)
    if identity.HasField("platform"):
        copy.platform.CopyFrom(identity.platform)
    copy.vtep_mac = vtep_mac(ip_address(identity.address)) if is_reachable(identity.address) else ""
    return copy


def name_keys(identity: NodeIdentity | None) -> Iterator[str]:
    """Identifiers of the name records that keep two nodes from having the same hostname or address.

    Loopback addresses are not unique: each leads to its own host.
    """
    if identity is None:
        return
    if identity.hostname:
        yield f"node/{identity.hostname.lower()}"
    if identity.address and not ip_address(identity.address).is_loopback:
        yield f"node-address/{identity.address}"


def name_owner(view: View, name: str) -> str:
    """Id of the node that has the name record; empty when it is free."""
    record = view.names.get(name)
    return record.meta.id if record is not None and record.meta.id in view.nodes else ""


def name_taken(view: View, name: str, other: str) -> str:
    """Why a node cannot have a hostname or address, as text for the user.

    Args:
        name: identifier of the name record.
        other: id of the node that has it.
    """
    what, _, value = name.partition("/")
    kind = "address" if what == "node-address" else "hostname"
    advice = "--advertise-address" if kind == "address" else "--hostname"
    known_as = hostname(view, other)
    which = f"node {other}" if known_as in ("", other, value) else f"node {known_as} ({other})"
    return (
        f"the {kind} {value} is in use by {which}: if that host is gone or reset, run "
        f"`shoal node rm {other}`; otherwise start this agent with a different {advice}"
    )


def hostname(view: View, node_id: str) -> str:
    """The node's hostname, or its id while that is unknown."""
    node, status = view.nodes.get(node_id), view.node_status.get(node_id)
    known = node.spec.identity.hostname if node is not None else ""
    return known or (status.description.hostname if status is not None else "") or node_id


def address_changed(node_id: str, identity: NodeIdentity, address: str) -> str:
    """Why a node whose address changed is rejected, as text for the user."""
    command = shlex.join(["shoal", "node", "update", "--address", address, identity.hostname or node_id])
    return f"its address changed from {identity.address} to {address}; to accept the new address, run `{command}`"


def warnings(node: Node, status: NodeStatus) -> Iterator[str]:
    """Deviations of the reported identity from the recorded one, one line each for the user."""
    if not status.HasField("reported_identity") or not node.spec.HasField("identity"):
        return
    identity, reported = node.spec.identity, status.reported_identity
    update = ["shoal", "node", "update"]
    name = identity.hostname or node.meta.id
    if reported.hostname and reported.hostname != identity.hostname:
        advice = ""
        if HOSTNAME.fullmatch(reported.hostname):
            advice = f"; to rename the node, run `{shlex.join([*update, '--hostname', reported.hostname, name])}`"
        yield f'its agent reports the hostname "{reported.hostname}"{advice}'
    if reported.engine_labels != identity.engine_labels:
        yield _label_warning(dict(identity.engine_labels), dict(reported.engine_labels), update, name)
    if reported.HasField("platform") and reported.platform != identity.platform:
        reported_platform, recorded_platform = _platform(reported), _platform(identity)
        yield (
            f"its agent reports platform {reported_platform}, not {recorded_platform}; "
            "if that is correct, remove the node and join it again"
        )


def _platform(identity: NodeIdentity) -> str:
    return f"{identity.platform.os}/{identity.platform.architecture}"


def _label_warning(known: dict[str, str], reported: dict[str, str], update: list[str], name: str) -> str:
    added = [f"{key}={value}" for key, value in sorted(reported.items()) if known.get(key) != value]
    removed = sorted(known.keys() - reported.keys())
    if len(added) + len(removed) > _MAX_LABELS_LISTED:
        number = len(added) + len(removed)
        return (
            f"{number} labels reported by its agent are not accepted; see `reported_identity` in `shoal node inspect`"
        )
    flags = [word for each in added for word in ("--engine-label-add", each)]
    flags += [word for each in removed for word in ("--engine-label-rm", each)]
    return f"its agent reports different labels; to accept them, run `{shlex.join([*update, *flags, name])}`"
