"""etcd over gRPC: the `Backend` of a running manager. A thin layer over the stubs of etcd's API."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from manager.etcd.call_durations import measured
from manager.etcd.call_slots import CallSlots
from manager.etcd.etcd_errors import (
    BROKEN,
    REPEATABLE,
    LeaseNotFound,
    TooManyBytes,
    TooManyOperations,
    check_cancelled,
    error_text,
    rejection_of,
    watch_failure,
)
from manager.etcd.maintenance import EtcdMaintenance, find_max_operations
from manager.etcd.majority import Majority
from manager.etcd.member_changes import EtcdMemberChanges
from manager.etcd.members import Member, Members
from manager.etcd.v3 import etcd_pb2 as rpc
from manager.store.backend import (
    Batch,
    Compare,
    CompareTarget,
    Delete,
    HistoryReplaced,
    KeyEvent,
    KeyValue,
    OutcomeUnknown,
    Page,
    Put,
    Reading,
    RequestTooLarge,
    TxnResult,
)
from manager.store.transaction import MAX_BYTES, MAX_OPERATIONS, size
from shoal.errors import Unavailable
from shoal.rpc.stream_opening import opened

WRITE_SECONDS = 3.5
"""For a transaction, all waiting included. Within 5 s it is known to be made, or not made, or unknown after a read."""
ANSWER_SECONDS = 0.5
"""Of these, at least, for etcd to answer: what cannot be sent before is not sent. An etcd that is started again takes
connections once it answers."""
KEEP_ALIVE_SECONDS = 1.0
"""For one renewal of a lease, of which several have to fit in its TTL: a member that hangs is left for another one."""
REVOKE_SECONDS = 0.75
"""For one attempt to revoke a lease: what etcd has passed to a leader that hangs is lost, and never answered."""
HANGING_CHECK_SECONDS = 0.25

_TARGETS = {
    CompareTarget.MODIFIED_AT: (rpc.Compare.MOD, rpc.Compare.EQUAL),
    CompareTarget.MODIFIED_AFTER: (rpc.Compare.MOD, rpc.Compare.GREATER),
    CompareTarget.CREATED_AT: (rpc.Compare.CREATE, rpc.Compare.EQUAL),
}


class _Response(Protocol):
    """Any response of etcd."""

    @property
    def header(self) -> rpc.ResponseHeader: ...


Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=_Response)
Method = Callable[[Member], grpc.aio.UnaryUnaryMultiCallable[Request, Response]]
"""Which of a member's calls is meant."""
_log = logging.getLogger(__name__)


class Etcd:
    """One client of an etcd cluster.

    Args:
        members: from `manager.etcd.members`; the caller closes them.
        deadline_seconds: of one call, and of waiting for a connection before it.
        retry_seconds: for how long a failed read is repeated.
    """

    def __init__(self, *, members: Members, deadline_seconds: float = 5.0, retry_seconds: float = 10.0) -> None:
        self.maintenance = EtcdMaintenance(members)
        self.member_changes = EtcdMemberChanges(members)
        self.majority = Majority(members)
        self._members = members
        self._deadline = deadline_seconds
        self._retry_seconds = retry_seconds
        self._slots = CallSlots()
        self._max_operations = MAX_OPERATIONS
        self._max_bytes = MAX_BYTES
        self._cluster_id = 0

    @property
    def max_operations(self) -> int:
        return self._max_operations

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    async def version(self) -> str:
        """A member's version, "3.4.23"."""
        return (await self._read(lambda member: member.maintenance.Status, rpc.StatusRequest())).version

    async def discover_limits(self) -> None:
        """Find out from the connected members how large a transaction may be; the minimum is used from now on."""
        await self._members.connected(self._deadline)
        for member in self._members:
            if member.is_connected():
                try:
                    self._max_operations = min(self._max_operations, await find_max_operations(member, MAX_OPERATIONS))
                except grpc.aio.AioRpcError as error:
                    _log.warning(
                        "cannot determine the maximum transaction size of %s: %s", member.endpoint, error_text(error)
                    )

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        request = rpc.RangeRequest(key=start, range_end=end, revision=revision, limit=limit, keys_only=keys_only)
        answer = await self._read(lambda member: member.kv.Range, request)
        next_key = answer.kvs[-1].key + b"\0" if answer.more else None
        return Page([_record(kv) for kv in answer.kvs], revision or answer.header.revision, next_key)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        answer = await self._read(lambda member: member.kv.Txn, rpc.TxnRequest(success=_reads(keys)))
        return Reading(_found(answer), answer.header.revision)

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        request = rpc.TxnRequest(
            compare=[_compare(each) for each in compares],
            success=[_operation(each) for each in operations],
            failure=_reads(each.key for each in compares),
        )
        await self.majority.check()
        try:
            answer = await self._write(lambda member: member.kv.Txn, request)
        except TooManyOperations as error:
            await self.discover_limits()
            self._max_operations = min(self._max_operations, max(len(compares), len(operations)) - 1)
            raise RequestTooLarge(f"{error}; the limit was lowered, try again") from error
        except TooManyBytes as error:
            rejected = sum(map(size, operations))
            if len(operations) > 1:
                self._max_bytes = min(self._max_bytes, rejected // 2)
            raise RequestTooLarge(
                f"etcd rejected a request of {rejected} bytes ({error}); start etcd with --max-request-bytes=1572864"
            ) from error
        return TxnResult(answer.succeeded, answer.header.revision, {} if answer.succeeded else _found(answer))

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        create = rpc.WatchCreateRequest(
            key=start, range_end=end, start_revision=revision, progress_notify=True, fragment=True
        )
        member = await self._members.connected(self._deadline)
        # With "hasleader" a member that lost its cluster ends the stream instead of staying silent.
        call = member.watches.Watch(metadata=(("hasleader", "true"),))
        leaving = asyncio.create_task(self._leave_when_hanging(member, call), name="watchdog of the watch")
        try:
            await call.write(rpc.WatchRequest(create_request=create))
            await opened(call)
            parts: list[KeyEvent] = []
            while isinstance(answer := await call.read(), rpc.WatchResponse):
                self._check_cluster(answer)
                check_cancelled(answer)
                parts.extend(_event(event) for event in answer.events)
                if parts and not answer.fragment:
                    # Never the header's revision: history arrives in parts whose headers already have the current one.
                    yield Batch(parts[-1].mod_revision, parts)
                    parts = []
                elif not answer.events and not answer.created:
                    if answer.header.revision < revision - 1:
                        raise Unavailable("this etcd member lags behind")
                    yield Batch(answer.header.revision, ())
            raise Unavailable("etcd closed the watch")
        except grpc.aio.AioRpcError as error:
            member.mark_failed()
            raise watch_failure(error) from error
        except asyncio.InvalidStateError as error:
            raise Unavailable("the watch stream to etcd failed to open") from error
        except asyncio.CancelledError:
            if leaving.done() and not _is_being_cancelled():
                raise Unavailable("an etcd member did not respond; watching another one") from None
            raise
        finally:
            leaving.cancel()
            call.cancel()

    async def _leave_when_hanging(self, member: Member, watch: grpc.aio.StreamStreamCall) -> None:  # type: ignore[type-arg]
        """End a watch on a member to which a call has failed, where others are connected. A member that is suspended
        keeps its connections, and its watch is silent until the keepalive notices.
        """
        failures = member.failures
        while True:
            await asyncio.sleep(HANGING_CHECK_SECONDS)
            if member.failures > failures and self._members.has_other_connected(member):
                watch.cancel()
                return

    async def grant(self, ttl_seconds: int) -> int:
        try:
            answer = await self._write(lambda member: member.leases.LeaseGrant, rpc.LeaseGrantRequest(TTL=ttl_seconds))
        except OutcomeUnknown as error:
            raise Unavailable(f"cannot get a lease from etcd: {error}") from error  # An unknown lease just expires.
        return answer.ID

    async def keep_alive(self, lease: int) -> int:
        request = rpc.LeaseKeepAliveRequest(ID=lease)
        seconds = min(KEEP_ALIVE_SECONDS, self._deadline)
        return (await self._retry(lambda member: _keep_alive_once(member, request, seconds))).TTL

    async def revoke(self, lease: int) -> None:
        request, seconds = rpc.LeaseRevokeRequest(ID=lease), min(REVOKE_SECONDS, self._deadline)
        try:
            await self._retry(lambda member: member.leases.LeaseRevoke(request, timeout=seconds))
        except LeaseNotFound:
            return

    async def responds(self, seconds: float) -> bool:
        """Whether a member responds within this time, with a majority or without."""
        try:
            member = await self._members.connected(seconds)
            await member.maintenance.Status(rpc.StatusRequest(), timeout=seconds)
        except (grpc.aio.AioRpcError, Unavailable):
            return False
        return True

    async def _write(self, method: Method[Request, Response], request: Request) -> Response:
        """Send once. A broken connection leaves the outcome unknown."""
        with measured("write"):
            return await self._write_once(method, request)

    async def _write_once(self, method: Method[Request, Response], request: Request) -> Response:
        clock, seconds = asyncio.get_running_loop().time, min(WRITE_SECONDS, self._deadline)
        ends = clock() + seconds
        send_by = ends - min(ANSWER_SECONDS, seconds / 2)
        member = await self._members.connected(send_by - clock())
        try:
            async with self._slots.turn(send_by):
                return self._check_cluster(await method(member)(request, timeout=ends - clock()))
        except grpc.aio.AioRpcError as error:
            if error.code() in BROKEN:
                member.mark_failed()
                raise OutcomeUnknown(error_text(error)) from error
            raise rejection_of(error) from error

    async def _read(self, method: Method[Request, Response], request: Request) -> Response:
        """Send, and retry: reads may be repeated."""

        async def attempt(member: Member) -> Response:
            return await method(member)(request, timeout=self._deadline)

        return await self._retry(attempt)

    async def _retry(self, attempt: Callable[[Member], Awaitable[Response]]) -> Response:
        """Repeat until a response arrives or `retry_seconds` are over."""
        retry_until = asyncio.get_running_loop().time() + self._retry_seconds
        delay = 0.05
        while True:
            member = await self._members.connected(self._deadline)
            try:
                async with self._slots.turn():
                    with measured("read"):
                        return self._check_cluster(await attempt(member))
            except grpc.aio.AioRpcError as error:
                if error.code() not in REPEATABLE:
                    raise rejection_of(error) from error
                member.mark_failed()
                if asyncio.get_running_loop().time() > retry_until:
                    raise Unavailable(f"etcd is unavailable: {error_text(error)}") from error
            await asyncio.sleep(delay * (0.5 + random.random() / 2))  # noqa: S311  # spreads load, hides nothing
            delay = min(2 * delay, 1.0)

    def _check_cluster(self, answer: Response) -> Response:
        """The response, if it comes from the same etcd cluster as all before."""
        found = answer.header.cluster_id
        if found and found != self._cluster_id:
            if self._cluster_id:
                raise HistoryReplaced(
                    f"connected to a different etcd cluster ({found:x} instead of {self._cluster_id:x})"
                )
            self._cluster_id = found
        if not isinstance(answer, rpc.StatusResponse):  # which is the member's alone
            self.majority.answered()
        return answer


def _is_being_cancelled() -> bool:
    """Whether the current task itself is, and not just a call that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _keep_alive_once(
    member: Member, request: rpc.LeaseKeepAliveRequest, timeout: float
) -> rpc.LeaseKeepAliveResponse:
    """One request and its response over a stream of their own."""
    call = member.leases.LeaseKeepAlive(timeout=timeout)
    try:
        with suppress(asyncio.InvalidStateError):  # it has ended, as after a pause: reading says why
            await call.write(request)
        await opened(call)
        answer = await call.read()
    finally:
        call.cancel()
    if not isinstance(answer, rpc.LeaseKeepAliveResponse):
        raise Unavailable("etcd closed the lease stream")
    return answer


def _record(kv: rpc.KeyValue) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.lease)


def _event(event: rpc.Event) -> KeyEvent:
    deleted = event.type == rpc.Event.DELETE
    return KeyEvent(event.kv.key, None if deleted else event.kv.value, event.kv.mod_revision)


def _reads(keys: Iterable[bytes]) -> list[rpc.RequestOp]:
    return [rpc.RequestOp(request_range=rpc.RangeRequest(key=key)) for key in dict.fromkeys(keys)]


def _found(answer: rpc.TxnResponse) -> dict[bytes, KeyValue]:
    return {kv.key: _record(kv) for response in answer.responses for kv in response.response_range.kvs}


def _compare(compare: Compare) -> rpc.Compare:
    target, result = _TARGETS[compare.target]
    if target == rpc.Compare.CREATE:
        return rpc.Compare(key=compare.key, target=target, result=result, create_revision=compare.revision)
    return rpc.Compare(key=compare.key, target=target, result=result, mod_revision=compare.revision)


def _operation(operation: Put | Delete) -> rpc.RequestOp:
    if isinstance(operation, Delete):
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=operation.key))
    put = rpc.PutRequest(key=operation.key, value=operation.value, lease=operation.lease)
    return rpc.RequestOp(request_put=put)
