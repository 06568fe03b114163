"""The certificate authority over the store. It keeps no state: every manager reads the one record, and can sign."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from manager import node_identity
from manager.certificate_authority import cluster_record
from manager.certificate_authority.join_tokens import JoinTokens
from manager.store import kinds
from manager.store.changes import ABSENT, expect, put
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import Cluster, Epoch, JoinToken
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.errors import AlreadyExists, Conflict, PermissionDenied, Unavailable
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.keyring import Keyring
from shoal.identity.roles import CertificateSubject, Role
from shoal.ids import NewId

TRIES = 20
CONFLICT_SECONDS = 0.02
"""Within about this time the watch delivers what another manager wrote."""
RECORD_WAIT_SECONDS = 10.0
"""For the watch to deliver the record that another manager created at the same time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JoinedNode:
    """What a node gets when it joins; the certificate is PEM."""

    node_id: str
    cluster_id: str
    certificate: bytes


class CertificateAuthority:
    """Signs for the cluster.

    Args:
        keyring: decrypts the keys in the record; the same cluster key on every manager.
        clock: seconds since the Unix epoch.
    """

    def __init__(self, *, store: RecordStore, keyring: Keyring, clock: Callable[[], float], new_id: NewId) -> None:
        self._store = store
        self.keyring = keyring
        self._clock = clock
        self._new_id = new_id
        self._turn = asyncio.Lock()
        self.tokens = JoinTokens(store=store, keyring=keyring, cluster=self.cluster, now_ms=self._now_ms)

    async def bootstrap(self) -> Cluster:
        """The cluster's record, created if there is none; concurrent calls get the same one. The store must be loaded.

        Raises:
            InvalidInput: the cluster key is not this cluster's.
            Unavailable, Timeout: etcd is unavailable.
        """
        with self._store.follow() as changes:
            if self._store.tables.cluster is None:
                await self._create_cluster()
            try:
                async with asyncio.timeout(RECORD_WAIT_SECONDS):
                    while (cluster := self._store.tables.cluster) is None:
                        await anext(changes)
            except TimeoutError:
                raise Unavailable("timed out waiting for the cluster record that another manager is creating") from None
        cluster_record.decrypt_authority(cluster, self.keyring)
        if not cluster.encrypted_token_key:
            await self._add_token_key(cluster)
        return self.cluster()

    async def _add_token_key(self, cluster: Cluster) -> None:
        """Add the key for join tokens to a cluster that was created without one; its old token becomes invalid."""
        changed = cluster_record.with_token_key(cluster, keyring=self.keyring, now_ms=self._now_ms())
        with suppress(Conflict):  # another manager added it
            await self._store.commit(
                [put(kinds.CLUSTER, "", changed)], expects=[expect(kinds.CLUSTER, "", cluster.meta.version)]
            )

    def cluster(self) -> Cluster:
        """The record.

        Raises:
            Unavailable: it is not loaded yet.
        """
        cluster = self._store.tables.cluster
        if cluster is None:
            raise Unavailable("the cluster record is not loaded yet; try again")
        return cluster

    def issue_manager(self, manager_id: str) -> Identity:
        """An identity for a manager on this machine, good for 90 days."""
        return self._issue(manager_id, Role.MANAGER)

    def sign_manager(self, csr: bytes, manager_id: str) -> bytes:
        """A certificate (PEM) for a manager on another machine. Raises InvalidInput: the request is not valid."""
        subject = CertificateSubject(manager_id, Role.MANAGER, self.cluster().meta.id)
        return self._authority().sign(csr, subject, self._now())

    def sign_peer(self, csr: bytes, manager_id: str, host: str) -> bytes:
        """A certificate (PEM) for a manager's etcd, reached at this host. Raises InvalidInput: either is not valid."""
        return self._authority().sign_peer(csr, manager_id, self.cluster().meta.id, host, self._now())

    def issue_admin(self, user: str) -> Identity:
        """An identity for a user, good for a year."""
        return self._issue(user, Role.ADMIN)

    def issue_engine(self, name: str) -> Identity:
        """An identity for an engine, which calls on behalf of its users; good for a year."""
        return self._issue(name, Role.ENGINE)

    def issue_console(self, name: str) -> Identity:
        """An identity for a console, which calls on behalf of those who have signed in; good for a year."""
        return self._issue(name, Role.CONSOLE)

    def reissue(self, identity: Identity) -> Identity:
        """The same subject with a new certificate for the same key, so that certificate and key on disk always match.

        Raises:
            PermissionDenied: it is of another cluster.
            InvalidInput, Unauthenticated: the certificate or the key is damaged.
        """
        subject = certificates.subject_of(identity.certificate)
        renewed = self.renew(subject, certificates.request(identity.key))
        return Identity(certificate=renewed, key=identity.key, ca=self.cluster().ca_certificate)

    async def join(self, token: str, csr: bytes, hostname: str) -> JoinedNode:
        """Create a node and its certificate, for one use of the token. A host that joins again with the same key is the
        node that it already is, without a further use: the response to its first call was lost.

        Args:
            hostname: as the host reports it.
        Raises:
            Unauthenticated: the token is not of this cluster, has expired, or is used up.
            InvalidInput: the request is not valid. AlreadyExists: another node has the name.
            Unavailable, Timeout: etcd is unavailable.
        """
        async with self._turn:
            for _ in range(TRIES):
                record = self.tokens.check(token)
                key = certificates.key_digest(csr)
                if (known := self._joined_by(key)) is not None:
                    return self._joined_node(known.meta.id, csr)
                try:
                    return await self._make_node(record, csr, key, hostname)
                except Conflict:  # another manager used the token; the watch delivers its node
                    await asyncio.sleep(CONFLICT_SECONDS)
        raise Unavailable("too many hosts are joining with this token; try again")

    async def _make_node(self, token: JoinToken, csr: bytes, key: bytes, hostname: str) -> JoinedNode:
        use, unused = self.tokens.use(token)
        name = f"node/{hostname.lower()}"
        if other := node_identity.name_owner(self._store.tables, name):
            raise AlreadyExists(node_identity.name_taken(self._store.tables, name, other))
        made, now_ms = self._joined_node(self._new_id(), csr), self._now_ms()
        node = Node(
            meta=Meta(id=made.node_id, created_at_ms=now_ms, updated_at_ms=now_ms),
            spec=NodeSpec(availability=NodeSpec.ACTIVE),
            join_key_digest=key,
        )
        await self._store.commit(
            [put(kinds.NODE, made.node_id, node), use], expects=[expect(kinds.NODE, made.node_id, ABSENT), unused]
        )
        _log.info("node %s joined from host %r with token %s", made.node_id, hostname[:64], token.meta.id)
        return made

    def _joined_by(self, key: bytes) -> Node | None:
        return next((node for node in self._store.tables.nodes.values() if node.join_key_digest == key), None)

    def _joined_node(self, node_id: str, csr: bytes) -> JoinedNode:
        cluster = self.cluster().meta.id
        return JoinedNode(
            node_id, cluster, self._authority().sign(csr, CertificateSubject(node_id, Role.AGENT, cluster), self._now())
        )

    def renew(self, subject: CertificateSubject, csr: bytes) -> bytes:
        """A new certificate (PEM) for the holder of a valid one.

        Raises:
            PermissionDenied: the node has been removed.
            InvalidInput: the request is not valid.
        """
        self._check_cluster(subject)
        if subject.role is Role.AGENT and subject.id not in self._store.tables.nodes:
            raise PermissionDenied(f"node {subject.id} was removed from the cluster; join it again")
        if subject.role is Role.MANAGER and subject.id in self._store.tables.removed_managers:
            raise PermissionDenied(f"manager {subject.id} was removed from the cluster; join it again")
        return self._authority().sign(csr, subject, self._now())

    def issue_server(self, subject: CertificateSubject, csr: bytes, names: Sequence[str]) -> bytes:
        """A certificate (PEM) for the holder of a valid one to serve clients outside the cluster with.

        Raises:
            InvalidInput: the request or a name is not valid.
        """
        self._check_cluster(subject)
        certificate = self._authority().sign_server(csr, subject, names, self._now())
        _log.info("%s %s gets a server certificate for %s", subject.role, subject.id, ", ".join(names))
        return certificate

    def _check_cluster(self, subject: CertificateSubject) -> None:
        if subject.cluster != self.cluster().meta.id:
            raise PermissionDenied("the certificate belongs to another cluster")

    async def _create_cluster(self) -> None:
        cluster_id, now = self._new_id(), self._now()
        made = cluster_record.new_cluster(
            cluster_id,
            Authority.create(cluster_id, now),
            keyring=self.keyring,
            now_ms=self._now_ms(),
        )
        epoch = Epoch(id=self._new_id(), started_at_ms=self._now_ms())
        writes = [put(kinds.CLUSTER, "", made), put(kinds.EPOCH, epoch.id, epoch)]
        try:
            await self._store.commit(writes, expects=[expect(kinds.CLUSTER, "", ABSENT)])
            _log.info("created cluster %s", cluster_id)
        except Conflict:
            _log.info("another manager created the cluster")

    def _issue(self, identifier: str, role: Role) -> Identity:
        return self._authority().issue(CertificateSubject(identifier, role, self.cluster().meta.id), self._now())

    def _authority(self) -> Authority:
        return cluster_record.decrypt_authority(self.cluster(), self.keyring)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
