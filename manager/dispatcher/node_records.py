"""The records of nodes' states, and the one place of a manager that writes them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from manager.dispatcher.records import Records
from manager.store.changes import PRESENT, expect, put
from manager.store.kinds import NODE, NODE_STATUS
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription, NodeStatus

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
        peer: the IP address from which it comes.
    """

    description: NodeDescription
    peer: str = ""


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
    )
    return new if old is None else with_condition(new, old.network)


def down_status(old: NodeStatus, message: str, now_ms: int) -> NodeStatus:
    """The record of a node that is not heard any more. Pure."""
    status = NodeStatus()
    status.CopyFrom(old)
    status.state, status.message, status.since_ms = NodeStatus.DOWN, message, now_ms
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


class NodeRecords:
    """Writes one record at a time, so that each decision is made from the record as it is."""

    def __init__(self, *, store: Records, manager_id: str, now_ms: NowMs) -> None:
        self._store = store
        self._manager_id = manager_id
        self._now_ms = now_ms
        self._turn = asyncio.Lock()

    async def ready(self, node_id: str, told: Told) -> None:
        """Note that this manager holds the node's session. Writes only what differs.

        Raises:
            Conflict: the node was removed, or another manager wrote of it just now. Unavailable: etcd is away.
        """
        async with self._turn:
            old = self._store.tables.node_status.get(node_id)
            managers = self._store.tables.managers
            new = ready_status(old, node_id, told, managers, self._manager_id, self._now_ms())
            if new != old:
                await self._write(new)

    async def note(self, node_id: str, condition: NetworkCondition) -> None:
        """Note how the network of a node is whose session this manager holds. Writes only what differs.

        Raises:
            Conflict, Unavailable: as `ready`.
        """
        async with self._turn:
            old = self._store.tables.node_status.get(node_id)
            if old is not None and (new := with_condition(old, condition)) != old:
                await self._write(new)

    async def down(self, node_id: str, held_by: str, message: str, fence: int | None = None) -> bool:
        """Note that a node READY with that manager is heard no more. False when it is not READY there by now.

        Raises:
            Conflict, Unavailable: as `ready`. Deposed: the term of the fence is over.
        """
        async with self._turn:
            old = self._store.tables.node_status.get(node_id)
            if old is None or old.state != NodeStatus.READY or old.manager_id != held_by:
                return False
            await self._write(down_status(old, message, self._now_ms()), fence)
            return True

    async def _write(self, status: NodeStatus, fence: int | None = None) -> None:
        # The spec must be there, so that no status outlives its node; and nobody else may have written meanwhile.
        await self._store.commit(
            [put(NODE_STATUS, status.node_id, status)],
            expects=[
                expect(NODE, status.node_id, PRESENT),
                expect(NODE_STATUS, status.node_id, self._store.version_of(NODE_STATUS, status.node_id)),
            ],
            fence=fence,
        )
