"""The certificate authority over the store. It keeps no state: every manager reads the one record, and can sign."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from manager.certificate_authority import records
from manager.store import kinds
from manager.store.changes import ABSENT, Change, Expect, Write, expect, put
from manager.store.kinds import Kind, M
from manager.store.tables import View
from shoal.api.v1.cluster_pb2 import Cluster, Epoch
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.errors import Conflict, InvalidInput, PermissionDenied, Unauthenticated, Unavailable
from shoal.identity import certificates, join_token
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.keyring import Keyring
from shoal.identity.roles import Caller, Role
from shoal.ids import NewId

CONVERGENCE_SECONDS = 10.0
"""For the watch to bring the record that another manager made at the same time."""

_log = logging.getLogger(__name__)


class Records(Protocol):
    """What the authority needs of the store."""

    @property
    def tables(self) -> View: ...
    def version_of(self, kind: Kind[M], identifier: str) -> int: ...
    def follow(self) -> AbstractContextManager[AsyncIterator[Sequence[Change]]]: ...
    async def commit(
        self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None
    ) -> int: ...


@dataclass(frozen=True)
class NewNode:
    """What a node gets when it joins; the certificate is PEM."""

    node_id: str
    cluster_id: str
    certificate: bytes


class CertificateAuthority:
    """Signs for the cluster.

    Args:
        keyring: opens what is sealed in the record; the same cluster key on every manager.
        clock: seconds since the Unix epoch.
    """

    def __init__(self, *, store: Records, keyring: Keyring, clock: Callable[[], float], new_id: NewId) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._new_id = new_id

    async def bootstrap(self) -> Cluster:
        """The cluster's record, made if there is none. The store must be loaded. Managers that race get the same one.

        Raises:
            InvalidInput: the cluster key is not this cluster's.
            Unavailable, Timeout: etcd is away.
        """
        with self._store.follow() as changes:
            if self._store.tables.cluster is None:
                await self._found()
            try:
                async with asyncio.timeout(CONVERGENCE_SECONDS):
                    while (cluster := self._store.tables.cluster) is None:
                        await anext(changes)
            except TimeoutError:
                raise Unavailable("another manager is founding the cluster, but its record does not arrive") from None
        records.open_authority(cluster, self._keyring)
        return cluster

    def cluster(self) -> Cluster:
        """The record.

        Raises:
            Unavailable: it is not loaded yet.
        """
        cluster = self._store.tables.cluster
        if cluster is None:
            raise Unavailable("the cluster's record is not loaded yet; try again")
        return cluster

    def issue_manager(self, manager_id: str) -> Identity:
        """An identity for a manager on this machine, good for 90 days."""
        return self._issue(manager_id, Role.MANAGER)

    def issue_admin(self, user: str) -> Identity:
        """An identity for a user, good for a year."""
        return self._issue(user, Role.ADMIN)

    def reissue(self, identity: Identity) -> Identity:
        """The same party with a new certificate for the same key: on disk, certificate and key fit at every instant.

        Raises:
            PermissionDenied: it is of another cluster.
            InvalidInput, Unauthenticated: the certificate or the key is damaged.
        """
        caller = certificates.caller_of(identity.certificate)
        renewed = self.renew(caller, certificates.request(identity.key))
        return Identity(certificate=renewed, key=identity.key, ca=self.cluster().ca_certificate)

    def join_token(self) -> str:
        """The token that agents join with."""
        return str(records.join_token(self.cluster(), self._keyring))

    async def rotate_join_token(self) -> str:
        """Make another token; the old one is worth nothing from now on. Nodes that have joined do not notice.

        Raises:
            Conflict: another manager changed the record meanwhile.
        """
        version = self._store.version_of(kinds.CLUSTER, "")
        changed = records.with_secret(
            self.cluster(), join_token.new_secret(), keyring=self._keyring, now_ms=self._now_ms()
        )
        await self._store.commit([put(kinds.CLUSTER, "", changed)], expects=[expect(kinds.CLUSTER, "", version)])
        return str(records.join_token(changed, self._keyring))

    def check_token(self, text: str) -> None:
        """Whether this is the cluster's join token.

        Raises:
            Unauthenticated: it is not; the text says whether it is one at all.
        """
        right = records.join_token(self.cluster(), self._keyring)
        try:
            given = join_token.parse(text)
        except InvalidInput as error:
            raise Unauthenticated(str(error)) from None
        if given.ca_hash != right.ca_hash:
            raise Unauthenticated("the join token is of another cluster; get this cluster's")
        if not join_token.same_secret(given.secret, right.secret):
            raise Unauthenticated("the join token is not valid: it is wrong or was rotated; get a new one")

    async def admit(self, csr: bytes, hostname: str) -> NewNode:
        """Make a node and its certificate. The token has been checked.

        Raises:
            InvalidInput: the request is not valid; no node is made.
        """
        cluster, now_ms = self.cluster(), self._now_ms()
        node_id = self._new_id()
        certificate = self._authority().sign(csr, Caller(node_id, Role.AGENT, cluster.meta.id), self._now())
        node = Node(
            meta=Meta(id=node_id, created_at_ms=now_ms, updated_at_ms=now_ms),
            spec=NodeSpec(availability=NodeSpec.ACTIVE),
        )
        await self._store.commit([put(kinds.NODE, node_id, node)], expects=[expect(kinds.NODE, node_id, ABSENT)])
        _log.info("node %s joined from host %r", node_id, hostname[:64])
        return NewNode(node_id, cluster.meta.id, certificate)

    def renew(self, caller: Caller, csr: bytes) -> bytes:
        """A new certificate (PEM) for who already has one.

        Raises:
            PermissionDenied: the node has been removed.
            InvalidInput: the request is not valid.
        """
        if caller.cluster != self.cluster().meta.id:
            raise PermissionDenied("the certificate is of another cluster")
        if caller.role is Role.AGENT and caller.id not in self._store.tables.nodes:
            raise PermissionDenied(f"the node {caller.id} has been removed from the cluster; let it join again")
        return self._authority().sign(csr, caller, self._now())

    async def _found(self) -> None:
        cluster_id, now = self._new_id(), self._now()
        made = records.new_cluster(
            cluster_id,
            Authority.create(cluster_id, now),
            join_token.new_secret(),
            keyring=self._keyring,
            now_ms=self._now_ms(),
        )
        epoch = Epoch(id=self._new_id(), started_at_ms=self._now_ms())
        founding = [put(kinds.CLUSTER, "", made), put(kinds.EPOCH, epoch.id, epoch)]
        try:
            await self._store.commit(founding, expects=[expect(kinds.CLUSTER, "", ABSENT)])
            _log.info("founded the cluster %s", cluster_id)
        except Conflict:
            _log.info("another manager founded the cluster")

    def _issue(self, identifier: str, role: Role) -> Identity:
        return self._authority().issue(Caller(identifier, role, self.cluster().meta.id), self._now())

    def _authority(self) -> Authority:
        return records.open_authority(self.cluster(), self._keyring)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
