"""Request limits: size of a request by method, and concurrent calls of a node.

gRPC reads a message whole before any code checks it, and parsing multiplies it: two bytes on the wire are an object of
a hundred. So a request is read only after its caller was admitted, its entries are counted before it is parsed, and a
node, which may be in the wrong hands, has few calls at once.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shoal.api.v1.dispatcher_pb2 import AgentMessage
from shoal.errors import Exhausted, InvalidInput
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.channel import MAX_MESSAGE_BYTES
from shoal.rpc.message_counting import EntryCounter

MAX_REQUEST_BYTES = 8 << 20
"""Of the largest request of all: a stack with the contents of its configs and secrets."""

AGENT_CALLS = 4
"""Of one node at the same time: its session, one or two whose end has not been noticed yet, a renewal."""

REQUEST_SECONDS = 30.0
"""Within which a request has to arrive, after its call was admitted."""

REQUEST_BYTES: Mapping[str, int] = {
    "/shoal.api.v1.Control/DeployStack": MAX_REQUEST_BYTES,
    # A message of an agent: 10,000 volumes, or some thousands of statuses.
    "/shoal.api.v1.Dispatcher/Session": 1 << 20,
    "/shoal.api.v1.CertificateAuthority/GetRoot": 1 << 10,
    "/shoal.api.v1.CertificateAuthority/Join": 64 << 10,
    "/shoal.api.v1.CertificateAuthority/Renew": 64 << 10,
    "/shoal.api.v1.CertificateAuthority/IssueServerCertificate": 64 << 10,
}
"""By method; of any other, `MAX_MESSAGE_BYTES`."""

MAX_SESSION_ENTRIES = 60_000
"""Entries of an agent's message, and of its entries: an empty one is two bytes on the wire, and 150 when parsed."""
_ENTRY_COUNTERS: Mapping[str, tuple[EntryCounter, int]] = {
    "/shoal.api.v1.Dispatcher/Session": (EntryCounter(AgentMessage.DESCRIPTOR), MAX_SESSION_ENTRIES)
}
_SMALL_BYTES = 64 << 10
"""Smaller messages are not worth counting."""

Deserializer = Callable[[bytes], Any]


@dataclass(frozen=True)
class OversizedMessage:
    """Stands for a message that was not parsed; `reason` is one line for the caller."""

    reason: str


def request_deserializer(method: str, parse: Deserializer) -> Deserializer:
    """Parses requests within the method's bounds, and lets `OversizedMessage` stand for others."""
    return bounded(parse, REQUEST_BYTES.get(method, MAX_MESSAGE_BYTES), *_ENTRY_COUNTERS.get(method, (None, 0)))


def bounded(parse: Deserializer, max_bytes: int, counter: EntryCounter | None, max_entries: int) -> Deserializer:
    """Parses messages of so many bytes and entries, and lets `OversizedMessage` stand for others."""

    def read(raw: bytes) -> Any:
        if len(raw) > max_bytes:
            return OversizedMessage(f"the message is too large: {len(raw):,} bytes; the maximum is {max_bytes:,}")
        if counter is not None and len(raw) > _SMALL_BYTES and counter.count(raw, max_entries) > max_entries:
            return OversizedMessage(f"the message has too many entries; the maximum is {max_entries:,}")
        return parse(raw)

    return read


def check_size(request: Any) -> Any:
    """The request itself.

    Raises:
        Exhausted: it is larger than its method's bound.
    """
    if isinstance(request, OversizedMessage):
        raise Exhausted(request.reason)
    return request


async def check_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The requests of a stream. Raises Exhausted at one that is too large."""
    async for request in requests:
        yield check_size(request)


async def single_request(requests: AsyncIterator[Any]) -> Any:
    """The request of a call that has one. Raises Exhausted: it is too large; InvalidInput: it did not come."""
    async for request in requests:
        return check_size(request)
    raise InvalidInput("the call ended before its request arrived")


class CallLimiter:
    """Counts the calls that each node has under way. Managers and admins are not counted."""

    def __init__(self, most: int = AGENT_CALLS) -> None:
        self._most = most
        self._running: Counter[str] = Counter()

    @contextmanager
    def hold(self, who: CertificateSubject | None) -> Iterator[None]:
        """One call more, for as long as the context lasts.

        Raises:
            Exhausted: the node has as many as it may.
        """
        if who is None or who.role is not Role.AGENT:
            yield
            return
        if self._running[who.id] >= self._most:
            raise Exhausted(f"node {who.id} has reached its limit of {self._most} concurrent calls; try again later")
        self._running[who.id] += 1
        try:
            yield
        finally:
            self._running[who.id] -= 1
            if not self._running[who.id]:
                del self._running[who.id]
