"""Managers join: a certificate, one for their etcd, and the cluster key, for one use of a token for managers."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from manager.certificate_authority.cluster_authority import CONFLICT_SECONDS, TRIES, CertificateAuthority
from manager.membership.membership_plan import changed
from manager.store.changes import ABSENT, expect, put
from manager.store.kinds import MEMBERSHIP
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import JoinToken, ManagerMembership
from shoal.errors import Conflict, InvalidInput, Refused, Unavailable
from shoal.identity import certificates
from shoal.ids import NewId
from shoal.rpc import host_port

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JoinedManager:
    """What a manager gets when it joins.

    Attributes:
        certificate, peer_certificate: PEM; the latter is empty without an own etcd.
        cluster_key, previous_cluster_key: never shown; the latter is empty unless a rotation is in progress.
    """

    manager_id: str
    cluster_id: str
    certificate: bytes
    peer_certificate: bytes
    cluster_key: bytes = field(repr=False)
    previous_cluster_key: bytes = field(repr=False)


class ManagerJoins:
    """Admits managers.

    Args:
        own_etcd: managers of this cluster run their own etcd.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        authority: CertificateAuthority,
        own_etcd: bool,
        now_ms: Callable[[], int],
        new_id: NewId,
    ) -> None:
        self._store = store
        self._authority = authority
        self._own_etcd = own_etcd
        self._now_ms = now_ms
        self._new_id = new_id
        self._turn = asyncio.Lock()

    async def join(self, token: str, csr: bytes, peer_csr: bytes, peer_address: str) -> JoinedManager:
        """Create a manager's membership and its certificates, for one use of the token. A host that joins again with
        the same key is the manager that it already is, without a further use: the response to its first call was lost.

        Args:
            csr, peer_csr: PKCS #10, PEM; the latter is ignored without a peer address.
            peer_address: host:port where its etcd will be reached; empty: it uses an external etcd.
        Raises:
            Unauthenticated: the token is not of this cluster or not for managers, has expired, or is used up.
            InvalidInput: a request or the address is not valid.
            Refused: the other managers use an external etcd, or it does and they do not.
            Unavailable, Timeout: etcd is unavailable.
        """
        self._check_etcd(peer_address)
        async with self._turn:
            for _ in range(TRIES):
                record = self._authority.tokens.check(token, JoinToken.MANAGER)
                digest = certificates.key_digest(csr)
                known = self._joined_by(digest)
                made = self._sign(known.manager_id if known else self._new_id(), csr, peer_csr, peer_address)
                try:
                    await self._record(made.manager_id, known, digest, record, peer_address)
                    return made
                except Conflict:  # Another manager used the token; the watch delivers what it wrote.
                    await asyncio.sleep(CONFLICT_SECONDS)
        raise Unavailable("too many hosts are joining with this token; try again")

    def _check_etcd(self, peer_address: str) -> None:
        if peer_address and not self._own_etcd:
            raise Refused("the managers of this cluster use an external etcd; run this one with --etcd-endpoint, too")
        if self._own_etcd and not peer_address:
            raise Refused("the managers of this cluster run their own etcd; run this one without --etcd-endpoint")

    def _sign(self, manager_id: str, csr: bytes, peer_csr: bytes, peer_address: str) -> JoinedManager:
        peer = b""
        if peer_address:
            peer = self._authority.sign_peer(peer_csr, manager_id, _host(peer_address))
        keyring = self._authority.keyring
        return JoinedManager(
            manager_id=manager_id,
            cluster_id=self._authority.cluster().meta.id,
            certificate=self._authority.sign_manager(csr, manager_id),
            peer_certificate=peer,
            cluster_key=keyring.current,
            previous_cluster_key=keyring.previous or b"",
        )

    async def _record(
        self, manager_id: str, known: ManagerMembership | None, digest: bytes, token: JoinToken, peer_address: str
    ) -> None:
        if known is not None:
            if known.peer_address != peer_address and not known.member_id:
                moved = changed(known, self._now_ms(), peer_address=peer_address)
                unchanged = expect(MEMBERSHIP, manager_id, self._store.version_of(MEMBERSHIP, manager_id))
                await self._store.commit([put(MEMBERSHIP, manager_id, moved)], expects=[unchanged])
            return
        membership = ManagerMembership(
            manager_id=manager_id,
            state=ManagerMembership.REQUESTED if peer_address else ManagerMembership.EXTERNAL,
            since_ms=self._now_ms(),
            peer_address=peer_address,
            join_key_digest=digest,
        )
        use, unused = self._authority.tokens.use(token)
        await self._store.commit(
            [put(MEMBERSHIP, manager_id, membership), use], expects=[expect(MEMBERSHIP, manager_id, ABSENT), unused]
        )
        _log.info("manager %s joined with token %s", manager_id, token.meta.id)

    def _joined_by(self, digest: bytes) -> ManagerMembership | None:
        memberships = self._store.tables.memberships.values()
        return next((each for each in memberships if each.join_key_digest == digest), None)


def _host(peer_address: str) -> str:
    try:
        return host_port.parse(peer_address).host
    except InvalidInput as error:
        raise InvalidInput(f"peer address: {error}") from error
