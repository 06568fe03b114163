"""Join tokens as records: each has an end and a number of uses, exact over all managers.

A record has the secret's message authentication code under a key that is sealed in the cluster's record: who reads etcd
learns no token, and who writes there makes none. A use is taken in the transaction that makes the node.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from manager.certificate_authority import records
from manager.certificate_authority.seams import Records
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import JOIN_TOKEN
from shoal.amounts import duration
from shoal.api.v1.cluster_pb2 import Cluster, JoinToken
from shoal.api.v1.meta_pb2 import Meta
from shoal.errors import Exhausted, InvalidInput, NotFound, Unauthenticated
from shoal.identity import join_token
from shoal.identity.keyring import Keyring

DEFAULT_TTL_MS = 24 * 3600 * 1000
DEFAULT_USES = 100
LONGEST_MS = 366 * 24 * 3600 * 1000
MOST_USES = 100_000
MOST_TOKENS = 1_000
_AT_ONCE = 100
"""Removals in one transaction."""
KEPT_MS = 24 * 3600 * 1000
"""After its end, a token's record stays for so long: a host whose answer was lost joins again by it."""


class JoinTokens:
    """Makes, checks and removes them.

    Args:
        cluster: the cluster's record; raises Unavailable before it is loaded.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self, *, store: Records, keyring: Keyring, cluster: Callable[[], Cluster], now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._cluster = cluster
        self._now_ms = now_ms

    async def create(self, *, ttl_ms: int = 0, uses: int = 0) -> tuple[str, JoinToken]:
        """A new token, which nobody can read again, and its record.

        Args:
            ttl_ms: for how long it is good; 0: a day.
            uses: how many hosts may join by it; 0: a hundred.
        Raises:
            InvalidInput: a bound is passed. Exhausted: there are too many tokens.
        """
        ttl_ms, uses = ttl_ms or DEFAULT_TTL_MS, uses or DEFAULT_USES
        check(ttl_ms, uses)
        gone = list(islice(self._long_ended(), _AT_ONCE))
        if len(self._all()) - len(gone) >= MOST_TOKENS:
            raise Exhausted(f"there are {MOST_TOKENS} join tokens; remove some with `shoal cluster join-token rm`")
        secret = join_token.new_secret()
        record = self._record(secret, ttl_ms, uses)
        await self._store.commit(
            [put(JOIN_TOKEN, record.meta.id, record), *gone], expects=[expect(JOIN_TOKEN, record.meta.id, ABSENT)]
        )
        return str(join_token.JoinToken(join_token.hash_of_ca(self._cluster().ca_certificate), secret)), record

    async def rotate(self, *, ttl_ms: int = 0, uses: int = 0) -> tuple[str, JoinToken]:
        """Remove all tokens, and make a new one. Raises as `create`."""
        check(ttl_ms or DEFAULT_TTL_MS, uses or DEFAULT_USES)
        await self.remove(*self._all())
        return await self.create(ttl_ms=ttl_ms, uses=uses)

    async def remove(self, *identifiers: str) -> None:
        """End tokens now. Raises NotFound: there is none of that id; then none is removed."""
        for each in identifiers:
            if each not in self._all():
                raise NotFound(f'no join token "{each}"; `shoal cluster join-token ls` lists them')
        for first in range(0, len(identifiers), _AT_ONCE):
            await self._store.commit([delete(JOIN_TOKEN, each) for each in identifiers[first : first + _AT_ONCE]])

    def list(self) -> Sequence[JoinToken]:
        """Those that admit a host now, or would if they had uses left; the next to end first."""
        now_ms = self._now_ms()
        return sorted(
            (each for each in self._all().values() if each.expires_at_ms > now_ms),
            key=lambda each: (each.expires_at_ms, each.meta.id),
        )

    def check(self, text: str) -> JoinToken:
        """The record of a token of this cluster, whether it still admits anyone or not.

        Raises:
            Unauthenticated: it is none; the text says whether it is one at all.
        """
        try:
            given = join_token.parse(text)
        except InvalidInput as error:
            raise Unauthenticated(str(error)) from None
        cluster = self._cluster()
        if given.ca_hash != join_token.hash_of_ca(cluster.ca_certificate):
            raise Unauthenticated("the join token is of another cluster; get this cluster's")
        record = self._all().get(join_token.token_id(given.secret))
        mac = join_token.mac(records.token_key(cluster, self._keyring), given.secret)
        if record is None or not join_token.same_mac(record.secret_mac, mac):
            raise Unauthenticated(
                "the join token is not valid: it is wrong, ended long ago, or was removed; "
                "`shoal cluster join-token` makes a new one"
            )
        return record

    def use(self, record: JoinToken) -> tuple[Write, Expect]:
        """One use less, for the transaction that makes the node.

        Raises:
            Unauthenticated: the token has ended, or has no uses left.
        """
        new = "`shoal cluster join-token` makes a new one"
        if record.expires_at_ms <= (now_ms := self._now_ms()):
            ago = duration((now_ms - record.expires_at_ms) // 1000 * 1000)
            raise Unauthenticated(f"the join token ended {ago} ago; {new}")
        if record.uses_left <= 0:
            raise Unauthenticated(f"the join token was for {record.uses} hosts, which have joined; {new}")
        less = JoinToken()
        less.CopyFrom(record)
        less.uses_left -= 1
        identifier = record.meta.id
        return put(JOIN_TOKEN, identifier, less), expect(JOIN_TOKEN, identifier, record.meta.version)

    def _record(self, secret: str, ttl_ms: int, uses: int) -> JoinToken:
        now_ms = self._now_ms()
        return JoinToken(
            meta=Meta(id=join_token.token_id(secret), created_at_ms=now_ms, updated_at_ms=now_ms),
            role=JoinToken.AGENT,
            secret_mac=join_token.mac(records.token_key(self._cluster(), self._keyring), secret),
            expires_at_ms=now_ms + ttl_ms,
            uses=uses,
            uses_left=uses,
        )

    def _all(self) -> "dict[str, JoinToken]":
        return dict(self._store.tables.join_tokens)

    def _long_ended(self) -> Iterator[Write]:
        latest = self._now_ms() - KEPT_MS
        return (delete(JOIN_TOKEN, each) for each, token in self._all().items() if token.expires_at_ms < latest)


def check(ttl_ms: int, uses: int) -> None:
    """Raises InvalidInput: a token cannot be good for so long, or so often."""
    if not 0 < ttl_ms <= LONGEST_MS:
        raise InvalidInput(f"a join token lasts for up to {duration(LONGEST_MS)}, not for {duration(ttl_ms)}")
    if not 0 < uses <= MOST_USES:
        raise InvalidInput(f"a join token is for 1 to {MOST_USES:,} hosts, not {uses:,}")
