"""Links of containers that somebody changed or deleted: set right, or made anew, since the namespace and all that runs
in it are still there."""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.network import names
from agent.network.attachment import Attachment, container_messages
from agent.network.comparison import Comparison
from agent.network.namespaces import connection_inside, opening_messages
from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import Link
from agent.network.netlink.messages import Message, VethEnd, add_veth, without_own_ipv6
from agent.network.tables import Subnet
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

_PROC = Path("/proc")


class LinkSizes:
    """The MTU of each container's link on the host's side, as it was when it was first compared: the other side's."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    def wanted(self, links: Iterable[Link]) -> Mapping[int, int]:
        """By index, bytes; those of links that are gone are forgotten."""
        self._sizes = {link.index: self._sizes.get(link.index, link.mtu) for link in links}
        return self._sizes


def changed(link: Link, attachment: Attachment, mtu: int) -> str:
    """What is not as it should be of a container's link on the host's side, empty when all is. Pure."""
    checks = (
        (link.name == attachment.name, f"had the name {link.name}"),
        (link.up, "was down"),
        (not link.master, "belonged to a bridge or a bond"),
        (link.mtu == mtu, f"had the MTU {link.mtu} in place of {mtu}"),
        (link.alias == attachment.alias, "had another alias"),
        (link.group == names.LIVE_GROUP, f"was in the group {link.group:#x}"),
    )
    return ", ".join(text for good, text in checks if not good)


@dataclass(frozen=True)
class Rooms:
    """What containers' packets may have, bytes: on the link, and of it those to encrypted networks."""

    link_mtu: int
    sealed_mtu: int


def restored(
    lost: Iterable[Attachment],
    connection: Connection,
    subnets: Mapping[str, Subnet],
    rooms: Rooms,
    claim: Callable[[Attachment], Message],
    found: Comparison,
) -> list[Attachment]:
    """Give each container a link with the same index and addresses. Returns those whose container is there.

    Args:
        claim: what makes a link the attachment's own.
    """
    kept = []
    for attachment in lost:
        pid = process_of(attachment.task_id)
        if pid is None:
            log.info("The link %s is gone with the container of task %s", attachment.name, attachment.task_id)
            continue
        kept.append(attachment)
        try:
            _restore(attachment, pid, connection, subnets, rooms, claim)
            found.wrong.append(f"the link {attachment.name} was missing")
        except (Unavailable, OSError) as error:
            found.refused.append(f"task {attachment.task_id} has no network, since its link is gone: {error}")
    return kept


def _restore(
    attachment: Attachment,
    pid: int,
    connection: Connection,
    subnets: Mapping[str, Subnet],
    rooms: Rooms,
    claim: Callable[[Attachment], Message],
) -> None:
    ipv6 = bool(attachment.addresses6)
    inside = connection_inside(pid, socket.NETLINK_ROUTE)
    try:
        ends = VethEnd(attachment.name, names.GATEWAY_MAC), VethEnd(names.CONTAINER_DEVICE, attachment.mac)
        with (_PROC / str(pid) / "ns" / "net").open() as namespace:
            # With the index that it had, which is in the routes.
            terms = namespace.fileno(), rooms.link_mtu, names.LIVE_GROUP
            connection.apply([add_veth(*ends, *terms, index=attachment.link)])
        connection.apply([*([without_own_ipv6(attachment.name)] if ipv6 else []), claim(attachment)])
        inside.apply(opening_messages(ipv6=ipv6))
        inside.apply(container_messages(attachment, subnets, rooms.sealed_mtu))
    finally:
        inside.close()


def process_of(task_id: str) -> int | None:
    """A process of the task's container, by its cgroup; None when there is none. What supervises it is in ours."""
    own = (_PROC / "thread-self" / "ns" / "net").stat().st_ino
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended
                if (
                    task_id in (entry / "cgroup").read_text(errors="replace")
                    and (entry / "ns" / "net").stat().st_ino != own
                ):
                    return int(entry.name)
    return None
