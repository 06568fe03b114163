"""Decides the statuses of nodes; `node_status_writer` writes them."""

from collections.abc import Mapping
from dataclasses import dataclass

from manager.dispatcher.statuses.node_status_writer import NodeStatusWriter
from manager.interfaces import NowMs
from manager.store.record_store import BatchStore
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.dispatcher_pb2 import OrphanReport
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription, NodeIdentity, NodeStatus

MAX_PROBLEMS = 20
MAX_LISTENERS = 256
MAX_PREFIXES = 256
MAX_PATHS = 50


@dataclass(frozen=True)
class NodeReport:
    """A node as reported in its session.

    Attributes:
        description: with the recorded identity, as others see it.
        peer_address: the IP address of the session's peer.
        reported_identity: the agent's own, if it deviates from the recorded one.
        raw_description: as the agent sent it, sanitized.
    """

    description: NodeDescription
    peer_address: str = ""
    reported_identity: NodeIdentity | None = None
    raw_description: NodeDescription | None = None


def colocated_manager(old: NodeStatus | None, peer: str, managers: Mapping[str, Manager]) -> str:
    """Id of the manager on the host that has this address, empty if there is none. Pure.

    A manager that is not running is kept: it may be restarting, and a node's role must not change for that.
    """
    found = sorted(identifier for identifier, manager in managers.items() if peer and manager.host_address == peer)
    if found:
        return found[0]
    known = old.colocated_manager_id if old is not None else ""
    return known if known not in managers else ""


def ready_status(
    old: NodeStatus | None,
    node_id: str,
    report: NodeReport,
    managers: Mapping[str, Manager],
    manager_id: str,
    now_ms: int,
) -> NodeStatus:
    """The status of a node whose session this manager has. Pure."""
    was_ready = old is not None and old.state == NodeStatus.READY
    new = NodeStatus(
        node_id=node_id,
        state=NodeStatus.READY,
        since_ms=old.since_ms if old is not None and was_ready else now_ms,
        description=report.description,
        manager_id=manager_id,
        colocated_manager_id=colocated_manager(old, report.peer_address, managers),
        reported_identity=report.reported_identity,
    )
    if old is None:
        return new
    new.orphaned_containers.extend(old.orphaned_containers)
    new.orphaned_count = old.orphaned_count
    return with_condition(new, old.network_condition)


def status_with_error(old: NodeStatus | None, node_id: str, reason: str) -> NodeStatus:
    """The status of a node whose session was rejected or ended. Pure."""
    status = NodeStatus(node_id=node_id)
    if old is not None:
        status.CopyFrom(old)
    status.session_error = reason
    return status


def with_condition(status: NodeStatus, condition: NetworkCondition) -> NodeStatus:
    """The status with the network condition that the agent reported, within the record's limits. Pure."""
    new = NodeStatus()
    new.CopyFrom(status)
    new.ClearField("network_condition")
    if condition.ByteSize():
        new.network_condition.CopyFrom(condition)
        del new.network_condition.problems[MAX_PROBLEMS:], new.network_condition.listeners[MAX_LISTENERS:]
        del new.network_condition.host_prefixes[MAX_PREFIXES:], new.network_condition.paths[MAX_PATHS:]
    if condition.underlay_mtu:
        new.description.underlay_mtu = condition.underlay_mtu
    if condition.host_prefixes:
        new.description.host_prefixes[:] = condition.host_prefixes[:MAX_PREFIXES]
    return new


def with_orphans(status: NodeStatus, report: OrphanReport) -> NodeStatus:
    """The status with the orphaned containers that the agent reported. Pure."""
    new = NodeStatus()
    new.CopyFrom(status)
    new.ClearField("orphaned_containers")
    new.orphaned_containers.extend(report.containers)
    new.orphaned_count = max(report.count, len(report.containers))
    return new


def lost_status(old: NodeStatus, state: NodeStatus.State.ValueType, message: str, now_ms: int) -> NodeStatus:
    """The status of a node that is lost. Pure."""
    status = NodeStatus()
    status.CopyFrom(old)
    status.state, status.message, status.since_ms = state, message, now_ms
    status.ClearField("restart_deadline_ms")
    return status


class NodeStatusUpdates:
    """Decides each status from the previous one; concurrent writes share a transaction.

    Args:
        fence: of the leader's term; None if this is not the leader's.
    """

    def __init__(self, *, store: BatchStore, manager_id: str, now_ms: NowMs, fence: int | None = None) -> None:
        self._store = store
        self._manager_id = manager_id
        self._now_ms = now_ms
        self._writer = NodeStatusWriter(store=store, fence=fence)

    async def mark_ready(self, node_id: str, report: NodeReport) -> None:
        """Mark a node READY whose session this manager has. Writes only changes.

        Raises:
            Conflict: the node was removed, or another manager wrote its status concurrently. Unavailable: etcd is
                unavailable.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            managers = self._store.tables.managers
            new = ready_status(old, node_id, report, managers, self._manager_id, self._now_ms())
            return new if new != old else None

        await self._writer.write(node_id, decide)

    async def set_condition(self, node_id: str, condition: NetworkCondition) -> None:
        """Set the network condition of a node whose session this manager has. Writes only changes.

        Raises:
            Conflict, Unavailable: as `mark_ready`.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            new = with_condition(old, condition) if old is not None else None
            return new if new != old else None

        await self._writer.write(node_id, decide)

    async def set_orphans(self, node_id: str, report: OrphanReport) -> None:
        """Set the orphaned containers of a node whose session this manager has. Writes only changes.

        Raises:
            Conflict, Unavailable: as `mark_ready`.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            new = with_orphans(old, report) if old is not None else None
            return new if new != old else None

        await self._writer.write(node_id, decide)

    async def set_session_error(self, node_id: str, reason: str) -> None:
        """Write why a session of the node was rejected or ended. Writes only changes.

        Raises:
            Conflict, Unavailable: as `mark_ready`.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            new = status_with_error(old, node_id, reason)
            return new if new != old else None

        await self._writer.write(node_id, decide)

    async def mark_down(self, node_id: str, held_by: str, message: str) -> bool:
        """Mark a node of that manager DOWN. False if it is no longer READY or UNKNOWN there.

        Raises:
            Conflict, Unavailable: as `mark_ready`. LeadershipLost: the term of the fence is over.
        """
        return await self._mark_lost(node_id, held_by, NodeStatus.DOWN, message)

    async def mark_restarting(self, node_id: str, message: str, grace_seconds: float) -> bool:
        """Mark a node as restarting whose agent has stopped in order. False if it is not READY here.

        Raises:
            Conflict, Unavailable: as `mark_ready`.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            if old is None or old.state != NodeStatus.READY or old.manager_id != self._manager_id:
                return None
            new = lost_status(old, NodeStatus.UNKNOWN, message, now_ms := self._now_ms())
            new.restart_deadline_ms = now_ms + round(grace_seconds * 1000)
            return new

        return await self._writer.write(node_id, decide)

    async def mark_unknown(self, node_id: str, held_by: str, message: str) -> bool:
        """Mark a node of that manager UNKNOWN: silent, but perhaps not lost. False if it is no longer expected there.

        Raises:
            Conflict, Unavailable, LeadershipLost: as `mark_down`.
        """
        return await self._mark_lost(node_id, held_by, NodeStatus.UNKNOWN, message)

    async def _mark_lost(self, node_id: str, held_by: str, state: NodeStatus.State.ValueType, message: str) -> bool:
        before = {NodeStatus.READY, NodeStatus.UNKNOWN} - {state}

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            if old is None or old.manager_id != held_by:
                return None
            if old.state not in before and not old.restart_deadline_ms:
                return None
            return lost_status(old, state, message, self._now_ms())

        return await self._writer.write(node_id, decide)
