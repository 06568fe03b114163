"""Links of containers that somebody deleted: made anew, since the namespace and all that runs in it are still there."""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from agent.network import names
from agent.network.attachment import Attachment, container_messages
from agent.network.namespaces import connection_inside, opening_messages
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Message, VethEnd, add_veth, without_own_ipv6
from agent.network.tables import Subnet
from agent.network.underlay import Underlay
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

_PROC = Path("/proc")


def restored(
    lost: Iterable[Attachment],
    connection: Connection,
    subnets: Mapping[str, Subnet],
    underlay: Underlay,
    claim: Callable[[Attachment], Message],
) -> list[Attachment]:
    """Give each container a link with the same index and addresses; those whose container is gone are left out.

    Args:
        claim: what makes a link the attachment's own.
    """
    found = []
    for attachment in lost:
        pid = process_of(attachment.task_id)
        if pid is None:
            log.info("The link %s is gone with the container of task %s", attachment.name, attachment.task_id)
            continue
        try:
            _restore(attachment, pid, connection, subnets, underlay, claim)
            found.append(attachment)
        except (Unavailable, OSError) as error:
            log.warning("Task %s has no network any more, since its link is gone: %s", attachment.task_id, error)
    return found


def _restore(
    attachment: Attachment,
    pid: int,
    connection: Connection,
    subnets: Mapping[str, Subnet],
    underlay: Underlay,
    claim: Callable[[Attachment], Message],
) -> None:
    ipv6 = bool(attachment.addresses6)
    inside = connection_inside(pid, socket.NETLINK_ROUTE)
    try:
        ends = VethEnd(attachment.name, names.GATEWAY_MAC), VethEnd(names.CONTAINER_DEVICE, attachment.mac)
        with (_PROC / str(pid) / "ns" / "net").open() as namespace:
            # With the index that it had, which is in the routes.
            terms = namespace.fileno(), underlay.overlay_mtu, names.LIVE_GROUP
            connection.apply([add_veth(*ends, *terms, index=attachment.link)])
        connection.apply([*([without_own_ipv6(attachment.name)] if ipv6 else []), claim(attachment)])
        inside.apply(opening_messages(ipv6=ipv6))
        inside.apply(container_messages(attachment, subnets, underlay.sealed_mtu))
    finally:
        inside.close()


def process_of(task_id: str) -> int | None:
    """A process of the task's container, by its cgroup; None when there is none. What supervises it is in ours."""
    own = (_PROC / "thread-self" / "ns" / "net").stat().st_ino
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended
                if task_id in (entry / "cgroup").read_text() and (entry / "ns" / "net").stat().st_ino != own:
                    return int(entry.name)
    return None
