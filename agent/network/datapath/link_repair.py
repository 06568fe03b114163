"""Repairs or recreates container links that another program changed or deleted.

The namespace and its processes still exist, so that they can get another link.
"""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.network import well_known
from agent.network.attachments.attachment import Attachment, container_messages
from agent.network.attachments.namespaces import connect_inside, initial_messages
from agent.network.cluster_state.overlay_tables import OverlaySubnet
from agent.network.datapath.comparison import Comparison
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import Message, VethEnd, add_veth, disable_ipv6_autoconf
from agent.network.netlink.rtnetlink_dump import Link
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

_PROC = Path("/proc")


class LinkMtus:
    """The MTU of each container link on the host's side, as first seen: the same as the container's side."""

    def __init__(self) -> None:
        self._mtus: dict[int, int] = {}

    def expected(self, links: Iterable[Link]) -> Mapping[int, int]:
        """Bytes, by link index; links that no longer exist are forgotten."""
        self._mtus = {link.index: self._mtus.get(link.index, link.mtu) for link in links}
        return self._mtus


def link_differences(link: Link, attachment: Attachment, mtu: int) -> str:
    """What differs from the desired state of a container link on the host's side; empty when nothing does. Pure."""
    checks = (
        (link.name == attachment.name, f"was renamed to {link.name}"),
        (link.up, "was down"),
        (not link.master, "was attached to a bridge or bond"),
        (link.mtu == mtu, f"had MTU {link.mtu} instead of {mtu}"),
        (link.alias == attachment.alias, "had its alias changed"),
        (link.group == well_known.ATTACHED_GROUP, f"was moved to group {link.group:#x}"),
    )
    return ", ".join(text for good, text in checks if not good)


@dataclass(frozen=True)
class ContainerMtus:
    """MTUs of container traffic, bytes: of the link, and of routes to encrypted networks."""

    link_mtu: int
    encrypted_mtu: int


def restore_links(
    lost: Iterable[Attachment],
    connection: Connection,
    subnets: Mapping[str, OverlaySubnet],
    mtus: ContainerMtus,
    claim_message: Callable[[Attachment], Message],
    comparison: Comparison,
) -> list[Attachment]:
    """Give each container a link with the same index and addresses. Returns those whose container still runs.

    Args:
        claim_message: the request that names and configures a link as the attachment's.
    """
    running = []
    for attachment in lost:
        pid = container_process(attachment.task_id)
        if pid is None:
            log.info(
                "The link %s was removed together with the container of task %s", attachment.name, attachment.task_id
            )
            continue
        running.append(attachment)
        try:
            _restore_link(attachment, pid, connection, subnets, mtus, claim_message)
            comparison.repaired.append(f"link {attachment.name} was missing")
        except (Unavailable, OSError) as error:
            comparison.refused.append(
                f"task {attachment.task_id} has no network: its link was deleted and cannot be restored: {error}"
            )
    return running


def _restore_link(
    attachment: Attachment,
    pid: int,
    connection: Connection,
    subnets: Mapping[str, OverlaySubnet],
    mtus: ContainerMtus,
    claim_message: Callable[[Attachment], Message],
) -> None:
    ipv6 = bool(attachment.addresses6)
    inside = connect_inside(pid, socket.NETLINK_ROUTE)
    try:
        ends = VethEnd(attachment.name, well_known.GATEWAY_MAC), VethEnd(well_known.CONTAINER_DEVICE, attachment.mac)
        with (_PROC / str(pid) / "ns" / "net").open() as namespace:
            # With its previous index, which the routes contain.
            creation = namespace.fileno(), mtus.link_mtu, well_known.ATTACHED_GROUP
            connection.apply([add_veth(*ends, *creation, index=attachment.link)])
        connection.apply([*([disable_ipv6_autoconf(attachment.name)] if ipv6 else []), claim_message(attachment)])
        inside.apply(initial_messages(ipv6=ipv6))
        inside.apply(container_messages(attachment, subnets, mtus.encrypted_mtu))
    finally:
        inside.close()


def container_process(task_id: str) -> int | None:
    """A process of the task's container, by its cgroup; None without one. Its supervisor is in the host's namespace."""
    own = (_PROC / "thread-self" / "ns" / "net").stat().st_ino
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # the process has ended
                if (
                    task_id in (entry / "cgroup").read_text(errors="replace")
                    and (entry / "ns" / "net").stat().st_ino != own
                ):
                    return int(entry.name)
    return None
