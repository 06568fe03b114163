"""Join tokens, stored as records: each expires by time and by uses, counted exactly across managers.

A record has the secret's message authentication code under a key that is encrypted in the cluster's record: reading
etcd reveals no token, and writing there creates none. A use is taken in the transaction that creates the node.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from manager.certificate_authority import cluster_record
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import JOIN_TOKEN
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import Cluster, JoinToken
from shoal.api.v1.meta_pb2 import Meta
from shoal.errors import Exhausted, InvalidInput, NotFound, Unauthenticated
from shoal.identity import join_token
from shoal.identity.keyring import Keyring
from shoal.unit_formats import duration

DEFAULT_TTL_MS = 24 * 3600 * 1000
DEFAULT_USES = 100
DEFAULT_MANAGER_TTL_MS = 3600 * 1000
DEFAULT_MANAGER_USES = 1
"""A token for managers gives its holder the cluster key, so it is for one host, and for the next hour."""
MAX_TTL_MS = 366 * 24 * 3600 * 1000
MAX_USES = 100_000
MAX_TOKENS = 1_000
_BATCH = 100
"""Removals in one transaction."""
RETENTION_MS = 24 * 3600 * 1000
"""A token's record is kept for so long after it expired: a host whose response was lost joins again with it."""


class JoinTokens:
    """Creates, checks and removes join tokens.

    Args:
        cluster: the cluster's record; raises Unavailable before it is loaded.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self, *, store: RecordStore, keyring: Keyring, cluster: Callable[[], Cluster], now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._cluster = cluster
        self._now_ms = now_ms

    async def create(
        self, *, ttl_ms: int = 0, uses: int = 0, role: JoinToken.Role.ValueType = JoinToken.AGENT
    ) -> tuple[str, JoinToken]:
        """A new token, which cannot be read again, and its record.

        Args:
            ttl_ms: its lifetime; 0: a day, or an hour for a manager's.
            uses: how many hosts may join with it; 0: a hundred, or one manager.
        Raises:
            InvalidInput: a value is out of range. Exhausted: there are too many tokens.
        """
        ttl_ms, uses = in_force(ttl_ms, uses, role)
        check(ttl_ms, uses)
        expired = list(islice(self._expired(), _BATCH))
        if len(self._all()) - len(expired) >= MAX_TOKENS:
            raise Exhausted(
                f"too many join tokens (maximum {MAX_TOKENS}); remove some with `shoal cluster join-token rm`"
            )
        secret = join_token.new_secret()
        record = self._record(secret, ttl_ms, uses, role)
        await self._store.commit(
            [put(JOIN_TOKEN, record.meta.id, record), *expired], expects=[expect(JOIN_TOKEN, record.meta.id, ABSENT)]
        )
        return str(join_token.JoinToken(join_token.hash_of_ca(self._cluster().ca_certificate), secret)), record

    async def rotate(
        self, *, ttl_ms: int = 0, uses: int = 0, role: JoinToken.Role.ValueType = JoinToken.AGENT
    ) -> tuple[str, JoinToken]:
        """Remove all tokens, of either role, and create a new one. Raises as `create`."""
        check(*in_force(ttl_ms, uses, role))
        await self.remove(*self._all())
        return await self.create(ttl_ms=ttl_ms, uses=uses, role=role)

    async def remove(self, *identifiers: str) -> None:
        """Remove tokens. Raises NotFound: there is none with that id; then none is removed."""
        for each in identifiers:
            if each not in self._all():
                raise NotFound(f"no such join token: {each}; list them with `shoal cluster join-token ls`")
        for first in range(0, len(identifiers), _BATCH):
            await self._store.commit([delete(JOIN_TOKEN, each) for each in identifiers[first : first + _BATCH]])

    def list(self) -> Sequence[JoinToken]:
        """The tokens that have not expired, used up or not; the next to expire first."""
        now_ms = self._now_ms()
        return sorted(
            (each for each in self._all().values() if each.expires_at_ms > now_ms),
            key=lambda each: (each.expires_at_ms, each.meta.id),
        )

    def check(self, text: str, role: JoinToken.Role.ValueType = JoinToken.AGENT) -> JoinToken:
        """The record of a token of this cluster, whether it still admits hosts or not.

        Args:
            role: of the host that joins.
        Raises:
            Unauthenticated: it is invalid; the message says why.
        """
        try:
            given = join_token.parse(text)
        except InvalidInput as error:
            raise Unauthenticated(str(error)) from None
        cluster = self._cluster()
        if given.ca_hash != join_token.hash_of_ca(cluster.ca_certificate):
            raise Unauthenticated("the join token belongs to another cluster")
        record = self._all().get(join_token.token_id(given.secret))
        mac = join_token.mac(cluster_record.token_key(cluster, self._keyring), given.secret)
        if record is None or not join_token.same_mac(record.secret_mac, mac):
            raise Unauthenticated(
                "invalid join token: it is wrong, expired or removed; create a new one with `shoal cluster join-token`"
            )
        if record.role != role:
            raise Unauthenticated(_wrong_role(role))
        return record

    def use(self, record: JoinToken) -> tuple[Write, Expect]:
        """The write that takes one use, for the transaction that creates the node.

        Raises:
            Unauthenticated: the token has expired, or has no uses left.
        """
        new = "create a new one with `shoal cluster join-token`"
        if record.expires_at_ms <= (now_ms := self._now_ms()):
            ago = duration((now_ms - record.expires_at_ms) // 1000 * 1000)
            raise Unauthenticated(f"the join token expired {ago} ago; {new}")
        if record.uses_left <= 0:
            raise Unauthenticated(f"the join token has been used by all {record.uses} hosts that it allows; {new}")
        used = JoinToken()
        used.CopyFrom(record)
        used.uses_left -= 1
        identifier = record.meta.id
        return put(JOIN_TOKEN, identifier, used), expect(JOIN_TOKEN, identifier, record.meta.version)

    def _record(self, secret: str, ttl_ms: int, uses: int, role: JoinToken.Role.ValueType) -> JoinToken:
        now_ms = self._now_ms()
        return JoinToken(
            meta=Meta(id=join_token.token_id(secret), created_at_ms=now_ms, updated_at_ms=now_ms),
            role=role,
            secret_mac=join_token.mac(cluster_record.token_key(self._cluster(), self._keyring), secret),
            expires_at_ms=now_ms + ttl_ms,
            uses=uses,
            uses_left=uses,
        )

    def _all(self) -> "dict[str, JoinToken]":
        return dict(self._store.tables.join_tokens)

    def _expired(self) -> Iterator[Write]:
        latest = self._now_ms() - RETENTION_MS
        return (delete(JOIN_TOKEN, each) for each, token in self._all().items() if token.expires_at_ms < latest)


def in_force(ttl_ms: int, uses: int, role: JoinToken.Role.ValueType) -> tuple[int, int]:
    """The lifetime and the number of uses, with the role's own where none is given."""
    if role == JoinToken.MANAGER:
        return ttl_ms or DEFAULT_MANAGER_TTL_MS, uses or DEFAULT_MANAGER_USES
    return ttl_ms or DEFAULT_TTL_MS, uses or DEFAULT_USES


def _wrong_role(role: JoinToken.Role.ValueType) -> str:
    if role == JoinToken.MANAGER:
        return "the join token is for nodes, not for managers; create one with `shoal cluster join-token --manager`"
    return "the join token is for managers, not for nodes; create one with `shoal cluster join-token`"


def check(ttl_ms: int, uses: int) -> None:
    """Raises InvalidInput: a lifetime or a number of uses out of range."""
    if not 0 < ttl_ms <= MAX_TTL_MS:
        raise InvalidInput(
            f"the lifetime of a join token must be at most {duration(MAX_TTL_MS)}, not {duration(ttl_ms)}"
        )
    if not 0 < uses <= MAX_USES:
        raise InvalidInput(f"the number of uses must be between 1 and {MAX_USES:,}, not {uses:,}")
