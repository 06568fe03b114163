"""Admits a node's session: records its identity the first time, and checks later reports against it."""

import asyncio
import logging
from contextlib import suppress

from manager import node_identity
from manager.dispatcher.assignments.node_peers import ip_version
from manager.dispatcher.sessions import agent_input
from manager.dispatcher.statuses.node_status_updates import NodeReport, NodeStatusUpdates
from manager.interfaces import NowMs
from manager.node_identity import HOSTNAME
from manager.store.changes import ABSENT, expect, put
from manager.store.kinds import NAME, NODE
from manager.store.record_store import RecordStore
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeIdentity
from shoal.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    Fault,
    InvalidInput,
    PermissionDenied,
    Refused,
    Timeout,
    Unavailable,
)
from shoal.one_line import one_line

_log = logging.getLogger(__name__)

ATTEMPTS = 5
CONFLICT_SECONDS = 0.02
"""Within about this time the watch delivers the conflicting change."""


class NodeAdmission:
    """Records a node's identity at its first session, and checks later sessions against it.

    The IP version of the cluster's tunnels is that of the nodes recorded before.

    Args:
        records: where a rejection is written, for users to see.
    """

    def __init__(self, *, store: RecordStore, records: NodeStatusUpdates, now_ms: NowMs) -> None:
        self._store = store
        self._records = records
        self._now_ms = now_ms
        self._unrecorded: dict[str, str] = {}
        self._example = ""

    def load(self) -> None:
        """Read the names of nodes without a recorded identity: they keep them."""
        view = self._store.tables
        self._unrecorded = {
            name: node_id
            for node_id, status in view.node_status.items()
            if (node := view.nodes.get(node_id)) is not None and node_identity.recorded(node) is None
            for name in node_identity.name_keys(node_identity.identity_of(status.description))
        }

    async def admit(self, node_id: str, description: NodeDescription, peer: str) -> NodeReport:
        """Check and record what the agent reports of its node. A rejection is written to its status.

        Args:
            peer: the IP address from which the session comes.
        Raises:
            Refused: its address changed, or has another IP version than the cluster.
            AlreadyExists: another node has its name or address.
            InvalidInput, Exhausted: the description is invalid, or too large.
            PermissionDenied: the node was removed. Conflict, Unavailable: as `RecordStore.commit`.
        """
        try:
            sanitized = agent_input.sanitize_description(description, self._now_ms())
            reported = node_identity.identity_of(sanitized)
            identity = await self._identity(node_id, reported)
            if reported.address and reported.address != identity.address:
                raise Refused(node_identity.address_changed(node_id, identity, reported.address))
        except (Refused, AlreadyExists, InvalidInput, Exhausted) as error:
            await self.record_error(node_id, str(error))
            raise
        deviating = node_identity.deviation(identity, reported)
        return NodeReport(node_identity.with_identity(sanitized, identity), peer, deviating, sanitized)

    async def record_error(self, node_id: str, reason: str) -> None:
        """Write why a session of the node was rejected or ended."""
        _log.warning("node %s: %s", node_id, reason)
        for _ in range(ATTEMPTS):
            with suppress(Unavailable, Timeout):
                try:
                    await self._records.set_session_error(node_id, one_line(reason))
                except Conflict:  # the node was removed, or another manager wrote its status
                    await asyncio.sleep(CONFLICT_SECONDS)
                    continue
            return

    async def _identity(self, node_id: str, reported: NodeIdentity) -> NodeIdentity:
        for _ in range(ATTEMPTS):
            node = self._store.tables.nodes.get(node_id)
            if node is None:
                raise PermissionDenied(node_removed(node_id))
            known = node_identity.recorded(node)
            identity = node_identity.merged(known, reported)
            if identity == known:
                return identity
            self._check(node_id, known, identity)
            try:
                await self._record(node, known, identity)
                return identity
            except Conflict:
                await asyncio.sleep(CONFLICT_SECONDS)
        raise Conflict(f"node {node_id} was changed concurrently; the agent will reconnect")

    async def _record(self, node: Node, known: NodeIdentity | None, identity: NodeIdentity) -> None:
        changed = Node()
        changed.CopyFrom(node)
        changed.spec.identity.CopyFrom(identity)
        new = self._new_names(known, identity)
        await self._store.commit(
            [put(NODE, node.meta.id, changed), *(put(NAME, name, Name(meta=Meta(id=node.meta.id))) for name in new)],
            expects=[
                expect(NODE, node.meta.id, self._store.version_of(NODE, node.meta.id)),
                *(expect(NAME, name, ABSENT) for name in new),
            ],
        )

    def _check(self, node_id: str, known: NodeIdentity | None, identity: NodeIdentity) -> None:
        if identity.hostname and not HOSTNAME.fullmatch(identity.hostname):
            text = (
                "must consist of letters, digits, '.', '_' and '-' (at "
                "most 253 characters); start the agent with --hostname"
            )
            raise InvalidInput([Fault("description.hostname", f'"{identity.hostname}" {text}')])
        for name in self._new_names(known, identity):
            other = self._owner(name)
            if other not in ("", node_id):
                raise AlreadyExists(node_identity.name_taken(self._store.tables, name, other))
        if (known is None or not known.address) and (why := self._address_family_conflict(node_id, identity.address)):
            raise Refused(why)

    def _new_names(self, known: NodeIdentity | None, identity: NodeIdentity) -> list[str]:
        before = {*node_identity.name_keys(known)}
        return [name for name in node_identity.name_keys(identity) if name not in before]

    def _owner(self, name: str) -> str:
        if found := node_identity.name_owner(self._store.tables, name):
            return found
        node_id = self._unrecorded.get(name, "")
        node = self._store.tables.nodes.get(node_id)
        return node_id if node is not None and node_identity.recorded(node) is None else ""

    def _address_family_conflict(self, node_id: str, address: str) -> str:
        """Why a node with this address cannot be in the cluster; empty if it can."""
        example = self._example_address(node_id)
        if not address or not example or ip_version(address) == ip_version(example):
            return ""
        return (
            f"this node has the address {address}, but another node has {example}: all nodes "
            "need addresses of the same IP version; start this agent with --advertise-address"
        )

    def _example_address(self, node_id: str) -> str:
        """The recorded address of any other node: the same one as long as it exists."""
        nodes = self._store.tables.nodes
        for other in (self._example, *nodes):
            node = nodes.get(other)
            if node is not None and other != node_id and (address := node.spec.identity.address):
                self._example = other
                return address
        return ""


def node_removed(node_id: str) -> str:
    """The error for an agent whose node was removed."""
    return f"node {node_id} was removed from the cluster; run `shoal-agent reset` on it, then join it again"
