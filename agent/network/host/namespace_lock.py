"""Allows one agent per network namespace, since names of links and tables are the same for every cluster."""

import errno
import re
import socket
import struct
from collections.abc import Iterable

from agent.network import well_known
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import set_link
from agent.network.netlink.rtnetlink_dump import Link, links
from shoal.errors import Refused

_LOCK = "\0shoal-agent-network"
"""An abstract address of unix(7): one for each network namespace, released when its process ends."""
_ALIAS = re.compile(r"shoal node ([\w-]+)")
_CREDENTIALS = struct.Struct("3i")


def lock_namespace(node_id: str) -> socket.socket:
    """Lock this thread's network namespace for an agent, as long as the socket is open.

    Raises:
        Refused: another agent runs here, or has left running containers.
    """
    connection = Connection()
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        found = links(connection)
        _bind_lock(lock, owner_of(found))
        if (conflict := foreign_containers(found, node_id)) is not None:
            raise Refused(conflict)
        return lock
    except BaseException:
        lock.close()
        raise
    finally:
        connection.close()


def write_owner(node_id: str) -> None:
    """Record this node's id on the overlay device, unless it is recorded already or the device does not exist."""
    connection = Connection()
    try:
        for link in links(connection):
            if link.name == well_known.VXLAN_DEVICE and owner_of([link]) != node_id:
                connection.apply([set_link(link.index, alias=f"shoal node {node_id}")])
    finally:
        connection.close()


def owner_of(found: Iterable[Link]) -> str:
    """The node that the overlay device belongs to; empty when not known. Pure."""
    device = next((link for link in found if link.name == well_known.VXLAN_DEVICE), None)
    match = _ALIAS.fullmatch(device.alias) if device is not None else None
    return match[1] if match else ""


def foreign_containers(found: Iterable[Link], node_id: str) -> str | None:
    """Why the network belongs to another node, although no agent runs: its containers still have links. Pure."""
    all_links = list(found)
    owner = owner_of(all_links)
    number = sum(link.name.startswith(well_known.LINK_PREFIX) for link in all_links)
    if owner in ("", node_id) or not number:
        return None
    return (
        f"this host still has {number} {'container' if number == 1 else 'containers'} of node {owner}: "
        "run `shoal-agent reset` with the --state-directory of that node's agent first"
    )


def _bind_lock(lock: socket.socket, owner: str) -> None:
    try:
        lock.bind(_LOCK)
        lock.listen(1)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        holder = f"process {_holder_pid()}" + (f", node {owner}" if owner else "")
        raise Refused(
            f"another agent is running in this network namespace ({holder}): "
            "stop it, or run this agent in its own network namespace"
        ) from None


def _holder_pid() -> int:
    """Process id of the agent that holds the lock; 0 when unknown."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
        try:
            client.settimeout(1.0)
            client.connect(_LOCK)
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return 0
        pid, _, _ = _CREDENTIALS.unpack(credentials)
        return int(pid)
