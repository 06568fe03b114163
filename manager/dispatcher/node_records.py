"""The records of nodes' states: what they are to be. `node_status_writer` writes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from manager.dispatcher.node_status_writer import NodeStatusWriter
from manager.dispatcher.records import Records
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription, NodeIdentity, NodeStatus

MOST_PROBLEMS = 20
MOST_LISTENERS = 256
MOST_PREFIXES = 256
MOST_PATHS = 50

NowMs = Callable[[], int]
"""Milliseconds since the Unix epoch."""


@dataclass(frozen=True)
class Told:
    """What is known of a node by its session.

    Attributes:
        description: as others are to know it.
        peer: the IP address from which it comes.
        claimed: what its agent says where that is not so.
        said: the description as its agent gave it, within bounds.
    """

    description: NodeDescription
    peer: str = ""
    claimed: NodeIdentity | None = None
    said: NodeDescription | None = None


def manager_beside(old: NodeStatus | None, peer: str, managers: Mapping[str, Manager]) -> str:
    """Id of the manager on the host that has this address, empty when there is none. Pure.

    One that is away stays: it restarts, or is lost and nothing that runs beside it should end for that.
    """
    here = sorted(identifier for identifier, manager in managers.items() if peer and manager.host_address == peer)
    if here:
        return here[0]
    known = old.beside_manager if old is not None else ""
    return known if known not in managers else ""


def ready_status(
    old: NodeStatus | None, node_id: str, told: Told, managers: Mapping[str, Manager], manager_id: str, now_ms: int
) -> NodeStatus:
    """The record of a node whose session this manager holds. Pure."""
    was_ready = old is not None and old.state == NodeStatus.READY
    new = NodeStatus(
        node_id=node_id,
        state=NodeStatus.READY,
        since_ms=old.since_ms if old is not None and was_ready else now_ms,
        description=told.description,
        manager_id=manager_id,
        beside_manager=manager_beside(old, told.peer, managers),
        claimed=told.claimed,
    )
    return new if old is None else with_condition(new, old.network)


def refused_status(old: NodeStatus | None, node_id: str, reason: str) -> NodeStatus:
    """The record of a node whose session was not accepted, or was ended. Pure."""
    status = NodeStatus(node_id=node_id)
    if old is not None:
        status.CopyFrom(old)
    status.refusal = reason
    return status


def with_condition(status: NodeStatus, condition: NetworkCondition) -> NodeStatus:
    """The record with what the agent has told of its network, as much of it as a record may hold. Pure."""
    new = NodeStatus()
    new.CopyFrom(status)
    new.ClearField("network")
    if condition.ByteSize():
        new.network.CopyFrom(condition)
        del new.network.problems[MOST_PROBLEMS:], new.network.listeners[MOST_LISTENERS:]
        del new.network.host_prefixes[MOST_PREFIXES:], new.network.paths[MOST_PATHS:]
    if condition.underlay_mtu:
        new.description.underlay_mtu = condition.underlay_mtu
    if condition.host_prefixes:
        new.description.host_prefixes[:] = condition.host_prefixes[:MOST_PREFIXES]
    return new


def lost_status(old: NodeStatus, state: NodeStatus.State.ValueType, message: str, now_ms: int) -> NodeStatus:
    """The record of a node that is not heard any more. Pure."""
    status = NodeStatus()
    status.CopyFrom(old)
    status.state, status.message, status.since_ms = state, message, now_ms
    return status


class NodeRecords:
    """Decides each record from the one before it, and writes what gathers in one transaction.

    Args:
        fence: of the term in which this writes; None: in none.
    """

    def __init__(self, *, store: Records, manager_id: str, now_ms: NowMs, fence: int | None = None) -> None:
        self._store = store
        self._manager_id = manager_id
        self._now_ms = now_ms
        self._writer = NodeStatusWriter(store=store, fence=fence)

    async def ready(self, node_id: str, told: Told) -> None:
        """Note that this manager holds the node's session. Writes only what differs.

        Raises:
            Conflict: the node was removed, or another manager wrote of it just now. Unavailable: etcd is away.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            managers = self._store.tables.managers
            new = ready_status(old, node_id, told, managers, self._manager_id, self._now_ms())
            return new if new != old else None

        await self._writer.write(node_id, decide)

    async def note(self, node_id: str, condition: NetworkCondition) -> None:
        """Note how the network of a node is whose session this manager holds. Writes only what differs.

        Raises:
            Conflict, Unavailable: as `ready`.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            new = with_condition(old, condition) if old is not None else None
            return new if new != old else None

        await self._writer.write(node_id, decide)

    async def refuse(self, node_id: str, reason: str) -> None:
        """Note why a session of the node was not accepted, or was ended. Writes only what differs.

        Raises:
            Conflict, Unavailable: as `ready`.
        """

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            new = refused_status(old, node_id, reason)
            return new if new != old else None

        await self._writer.write(node_id, decide)

    async def down(self, node_id: str, held_by: str, message: str) -> bool:
        """Note that a node with that manager is lost. False when it is not READY or UNKNOWN there by now.

        Raises:
            Conflict, Unavailable: as `ready`. Deposed: the term of the fence is over.
        """
        return await self._lost(node_id, held_by, NodeStatus.DOWN, message)

    async def unknown(self, node_id: str, held_by: str, message: str) -> bool:
        """Note that a node with that manager is not heard, which says nothing of it. False when it is not READY there.

        Raises:
            Conflict, Unavailable, Deposed: as `down`.
        """
        return await self._lost(node_id, held_by, NodeStatus.UNKNOWN, message)

    async def _lost(self, node_id: str, held_by: str, state: NodeStatus.State.ValueType, message: str) -> bool:
        before = {NodeStatus.READY, NodeStatus.UNKNOWN} - {state}

        def decide(old: NodeStatus | None) -> NodeStatus | None:
            if old is None or old.state not in before or old.manager_id != held_by:
                return None
            return lost_status(old, state, message, self._now_ms())

        return await self._writer.write(node_id, decide)
