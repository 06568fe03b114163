"""etcd over gRPC: the `Backend` of a running manager. A thin layer over the messages and stubs of `aetcd`."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
from aetcd import rpc

from manager.store.backend import (
    Batch,
    Compacted,
    Compare,
    Compared,
    Delete,
    Event,
    Outcome,
    OutcomeUnknown,
    Page,
    Put,
    Reading,
    Record,
)
from shoal.errors import Exhausted, InvalidInput, Unavailable

MAX_IN_FLIGHT = 16
"""Unary calls at once. With 64 the writers starved the watch: its lag grew from 12 to 842 ms."""
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
_BROKEN = _AWAY | {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
_NO_SPACE = (
    "etcd's quota is used up and it refuses writes: compact and defragment it, then clear the alarm "
    "(etcdctl compact <revision>, etcdctl defrag, etcdctl alarm disarm)"
)

Call = Callable[..., Awaitable[Any]]


class _Unknown(Unavailable):
    """What a call is about, a lease, is not there any more."""


class Etcd:
    """One connection to an etcd cluster.

    Args:
        channel: from `manager.store.etcd_channel`.
        deadline_seconds: of one call, and of waiting for a connection before it.
        patience_seconds: for how long a failed read is repeated.
    """

    def __init__(
        self, *, channel: grpc.aio.Channel, deadline_seconds: float = 5.0, patience_seconds: float = 10.0
    ) -> None:
        self._channel = channel
        self._deadline = deadline_seconds
        self._patience = patience_seconds
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._kv, self._leases, self._watches = rpc.KVStub(channel), rpc.LeaseStub(channel), rpc.WatchStub(channel)
        self._maintenance = rpc.MaintenanceStub(channel)

    async def version(self) -> str:
        """The server's version, "3.4.23"."""
        return str((await self._read(self._maintenance.Status, rpc.StatusRequest())).version)

    async def make_space(self) -> None:
        """Forget all history, give the space back and let etcd write again after its quota was used up.

        For the operator: it blocks this member while it defragments, and watches that lag behind list again. With
        several members each must be defragmented, by `etcdctl defrag --cluster`.
        """
        now = (await self.read([b"/"])).revision
        with suppress(Compacted):
            await self._read(self._kv.Compact, rpc.CompactionRequest(revision=now, physical=True))
        await self._read(self._maintenance.Defragment, rpc.DefragmentRequest())
        actions = rpc.AlarmRequest.AlarmAction
        raised = await self._read(self._maintenance.Alarm, rpc.AlarmRequest(action=actions.GET))
        for alarm in raised.alarms:
            off = rpc.AlarmRequest(action=actions.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
            await self._read(self._maintenance.Alarm, off)

    async def range(self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0) -> Page:
        request = rpc.RangeRequest(key=start, range_end=end, revision=revision, limit=limit)
        answer = await self._read(self._kv.Range, request)
        next_key = answer.kvs[-1].key + b"\0" if answer.more else None
        return Page([_record(kv) for kv in answer.kvs], revision or answer.header.revision, next_key)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        answer = await self._read(self._kv.Txn, rpc.TxnRequest(success=_reads(keys)))
        return Reading(_found(answer), answer.header.revision)

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> Outcome:
        request = rpc.TxnRequest(
            compare=[_compare(each) for each in compares],
            success=[_operation(each) for each in operations],
            failure=_reads(each.key for each in compares),
        )
        answer = await self._write(self._kv.Txn, request)
        return Outcome(answer.succeeded, answer.header.revision, {} if answer.succeeded else _found(answer))

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        create = rpc.WatchCreateRequest(
            key=start, range_end=end, start_revision=revision, progress_notify=True, fragment=True
        )
        await self._connected()
        # With "hasleader" a member that is cut off from its cluster ends the stream and does not stay silent.
        call = self._watches.Watch(metadata=(("hasleader", "true"),))
        try:
            await call.write(rpc.WatchRequest(create_request=create))
            parts: list[Event] = []
            while (answer := await call.read()) is not grpc.aio.EOF:
                _check_cancelled(answer)
                parts.extend(_event(event) for event in answer.events)
                if parts and not answer.fragment:
                    # Never the header's revision: history comes in parts whose header bears the current one already.
                    yield Batch(parts[-1].mod_revision, parts)
                    parts = []
                elif not answer.events and not answer.created and answer.header.revision >= revision:
                    yield Batch(answer.header.revision, ())
            raise Unavailable("etcd ended the watch")
        except grpc.aio.AioRpcError as error:
            raise _watch_failure(error) from error
        except asyncio.InvalidStateError as error:
            raise Unavailable("the watch's stream to etcd broke while it was opened") from error
        finally:
            call.cancel()

    async def grant(self, ttl_seconds: int) -> int:
        try:
            answer = await self._write(self._leases.LeaseGrant, rpc.LeaseGrantRequest(TTL=ttl_seconds))
        except OutcomeUnknown as error:
            raise Unavailable(f"no lease from etcd: {error}") from error  # A lease that nobody knows just expires.
        return int(answer.ID)

    async def keep_alive(self, lease: int) -> int:
        async def once(request: Any, timeout: float) -> Any:
            call = self._leases.LeaseKeepAlive(timeout=timeout)
            try:
                await call.write(request)
                return await call.read()
            finally:
                call.cancel()

        answer = await self._read(once, rpc.LeaseKeepAliveRequest(ID=lease))
        if answer is grpc.aio.EOF:
            raise Unavailable("etcd ended the lease's stream")
        return int(answer.TTL)

    async def revoke(self, lease: int) -> None:
        try:
            await self._read(self._leases.LeaseRevoke, rpc.LeaseRevokeRequest(ID=lease))
        except _Unknown:
            return

    async def _connected(self) -> None:
        """Wait for a connection, so that a call which then fails is known to have been sent or not."""
        if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return
        try:
            async with asyncio.timeout(self._deadline):
                await self._channel.channel_ready()
        except TimeoutError as error:
            raise Unavailable(f"etcd did not answer within {self._deadline:g} s; is it running?") from error

    async def _write(self, call: Call, request: Any) -> Any:
        """Send once. A broken connection leaves the outcome unknown."""
        await self._connected()
        try:
            async with self._slots:
                return await call(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            if error.code() in _BROKEN:
                raise OutcomeUnknown(_text(error)) from error
            raise _refused(error) from error

    async def _read(self, call: Call, request: Any) -> Any:
        """Send until it is answered or patience ends: reads may be repeated."""
        patience = asyncio.get_running_loop().time() + self._patience
        delay = 0.05
        while True:
            await self._connected()
            try:
                async with self._slots:
                    return await call(request, timeout=self._deadline)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    raise _refused(error) from error
                if asyncio.get_running_loop().time() > patience:
                    raise Unavailable(f"etcd is away: {_text(error)}") from error
            await asyncio.sleep(delay * (0.5 + random.random() / 2))  # noqa: S311  # spreads load, hides nothing
            delay = min(2 * delay, 1.0)


def _record(kv: Any) -> Record:
    return Record(kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.lease)


def _event(event: Any) -> Event:
    deleted = event.type == rpc.Event.EventType.DELETE
    return Event(event.kv.key, None if deleted else event.kv.value, event.kv.mod_revision)


def _reads(keys: Iterable[bytes]) -> list[Any]:
    return [rpc.RequestOp(request_range=rpc.RangeRequest(key=key)) for key in dict.fromkeys(keys)]


def _found(answer: Any) -> dict[bytes, Record]:
    return {kv.key: _record(kv) for response in answer.responses for kv in response.response_range.kvs}


def _compare(compare: Compare) -> Any:
    if compare.what is Compared.CREATED_AT:
        return rpc.Compare(key=compare.key, target="CREATE", result="EQUAL", create_revision=compare.revision)
    result = "EQUAL" if compare.what is Compared.MODIFIED_AT else "GREATER"
    return rpc.Compare(key=compare.key, target="MOD", result=result, mod_revision=compare.revision)


def _operation(operation: Put | Delete) -> Any:
    if isinstance(operation, Delete):
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=operation.key))
    put = rpc.PutRequest(key=operation.key, value=operation.value, lease=operation.lease)
    return rpc.RequestOp(request_put=put)


def _check_cancelled(answer: Any) -> None:
    if answer.compact_revision:
        raise Compacted(f"etcd has compacted its history up to revision {answer.compact_revision}")
    if answer.canceled and "no leader" in answer.cancel_reason:
        raise Unavailable("this member of etcd has no leader")
    if answer.canceled:
        raise Compacted(f"etcd cancelled the watch: {answer.cancel_reason or 'it gave no reason'}")


def _watch_failure(error: grpc.aio.AioRpcError) -> Exception:
    return Unavailable(_text(error)) if error.code() in _BROKEN else _refused(error)


def _refused(error: grpc.aio.AioRpcError) -> Exception:
    """The error of a call that etcd answered with a refusal: nothing was done."""
    text = _text(error)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "database space exceeded" in text:
        return Exhausted(_NO_SPACE)
    if error.code() is grpc.StatusCode.OUT_OF_RANGE and "compacted" in text:
        return Compacted(text)
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return _Unknown(f"etcd does not know the lease any more: {text}")
    if "too many operations" in text:
        return InvalidInput(f"etcd refuses large transactions ({text}): start it with --max-txn-ops=1024")
    return Unavailable(f"etcd refused the call: {text}")


def _text(error: grpc.aio.AioRpcError) -> str:
    return f"{error.details() or 'no details'} ({error.code().name})"
