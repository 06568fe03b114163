"""One network namespace, one agent: names of links, tables and routes are the same for every cluster."""

import errno
import re
import socket
import struct
from collections.abc import Iterable

from agent.network import names
from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import Link, links
from agent.network.netlink.messages import set_link
from shoal.errors import Refused

_LOCK = "\0shoal-agent-network"
"""An abstract address of unix(7): one for each network namespace, and gone with the process that has it."""
_ALIAS = re.compile(r"shoal node ([\w-]+)")
_CREDENTIALS = struct.Struct("3i")


def take(node_id: str) -> socket.socket:
    """Hold this thread's network namespace for an agent, as long as the socket is open.

    Raises:
        Refused: another agent runs here, or has left containers that use the network.
    """
    connection = Connection()
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        found = links(connection)
        _bind(lock, owner_of(found))
        if (left := leftover(found, node_id)) is not None:
            raise Refused(left)
        return lock
    except BaseException:
        lock.close()
        raise
    finally:
        connection.close()


def sign(node_id: str) -> None:
    """Write on our device whose it is; nothing when that is written already, or it is gone."""
    connection = Connection()
    try:
        for link in links(connection):
            if link.name == names.VXLAN_DEVICE and owner_of([link]) != node_id:
                connection.apply([set_link(link.index, alias=f"shoal node {node_id}")])
    finally:
        connection.close()


def owner_of(found: Iterable[Link]) -> str:
    """The node that our device was made for, empty when that is not known. Pure."""
    device = next((link for link in found if link.name == names.VXLAN_DEVICE), None)
    match = _ALIAS.fullmatch(device.alias) if device is not None else None
    return match[1] if match else ""


def leftover(found: Iterable[Link], node_id: str) -> str | None:
    """Why the network is another node's, though no agent runs: its containers have links. Pure."""
    known = list(found)
    owner = owner_of(known)
    number = sum(link.name.startswith(names.LINK_PREFIX) for link in known)
    if owner in ("", node_id) or not number:
        return None
    return (
        f"{number} {'container' if number == 1 else 'containers'} of node {owner}, of another agent, are on this host: "
        "run `shoal-agent reset` with that one's --state-directory first"
    )


def _bind(lock: socket.socket, owner: str) -> None:
    try:
        lock.bind(_LOCK)
        lock.listen(1)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        who = f"process {_holder()}" + (f", node {owner}" if owner else "")
        raise Refused(
            f"another agent runs in this network namespace ({who}): a host is a node of one cluster; stop that agent, "
            "or run this one in a network namespace of its own"
        ) from None


def _holder() -> int:
    """Process id of the agent that holds the namespace, 0 when it cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
        try:
            asking.settimeout(1.0)
            asking.connect(_LOCK)
            held_by = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return 0
        pid, _, _ = _CREDENTIALS.unpack(held_by)
        return int(pid)
