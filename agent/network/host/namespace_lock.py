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
"""An abstract address of unix(7): one for each network namespace, and gone with the process that has it."""
_ALIAS = re.compile(r"shoal node ([\w-]+)")
_CREDENTIALS = struct.Struct("3i")


def lock_namespace(node_id: str) -> socket.socket:
    """Hold this thread's network namespace for an agent, as long as the socket is open.

    Raises:
        Refused: another agent runs here, or has left containers that use the network.
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
    """Write on our device whose it is; nothing when that is written already, or it is gone."""
    connection = Connection()
    try:
        for link in links(connection):
            if link.name == well_known.VXLAN_DEVICE and owner_of([link]) != node_id:
                connection.apply([set_link(link.index, alias=f"shoal node {node_id}")])
    finally:
        connection.close()


def owner_of(found: Iterable[Link]) -> str:
    """The node that our device was made for, empty when that is not known. Pure."""
    device = next((link for link in found if link.name == well_known.VXLAN_DEVICE), None)
    match = _ALIAS.fullmatch(device.alias) if device is not None else None
    return match[1] if match else ""


def foreign_containers(found: Iterable[Link], node_id: str) -> str | None:
    """Why the network is another node's, though no agent runs: its containers have links. Pure."""
    present = list(found)
    owner = owner_of(present)
    number = sum(link.name.startswith(well_known.LINK_PREFIX) for link in present)
    if owner in ("", node_id) or not number:
        return None
    return (
        f"{number} {'container' if number == 1 else 'containers'} of node {owner}, of another agent, are on this host: "
        "run `shoal-agent reset` with that one's --state-directory first"
    )


def _bind_lock(lock: socket.socket, owner: str) -> None:
    try:
        lock.bind(_LOCK)
        lock.listen(1)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        who = f"process {_holder_pid()}" + (f", node {owner}" if owner else "")
        raise Refused(
            f"another agent is running in this network namespace ({who}): "
            "stop it, or run this agent in its own network namespace"
        ) from None


def _holder_pid() -> int:
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
