"""Maintenance of etcd: status, compaction and defragmentation, and its transaction limits."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from manager.etcd.members import Member, Members
from manager.etcd.v3 import etcd_pb2 as rpc
from manager.store.kinds import ROOT
from shoal.errors import Unavailable

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
DEFRAGMENT_SECONDS = 600.0
"""It rewrites the whole database, of 8 GiB at most by default."""

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True)
class MemberStatus:
    """The status of one member, as it reports it.

    Attributes:
        version: "3.4.23"; empty if it does not respond.
        database_bytes: of its file; writes are rejected when it reaches the quota.
        used_bytes: in use; the rest can be freed by defragmentation.
        problem: one line; empty if there is none.
        is_leader: it leads the members.
    """

    endpoint: str
    version: str = ""
    database_bytes: int = 0
    used_bytes: int = 0
    problem: str = ""
    is_leader: bool = False


class EtcdMaintenance:
    """Maintenance on the operator's request."""

    def __init__(self, members: Members) -> None:
        self._members = members

    async def status(self) -> Sequence[MemberStatus]:
        """The status of each configured member; an unreachable one has a problem."""
        alarms = await self._alarms()
        return await asyncio.gather(*(_member_status(member, alarms) for member in self._members))

    async def compact(self) -> Sequence[MemberStatus]:
        """Compact the whole history, defragment each member, and clear the space alarm.

        Each member is blocked while it defragments, one after the other, and watches that lag behind list again.

        Returns:
            The members' status afterwards.

        Raises:
            Unavailable: a member is unavailable or rejected the call; the call may be repeated.
        """
        await self.compact_history()
        await self.defragment()
        await self.clear_alarms()
        return await self.status()

    async def compact_history(self) -> None:
        """Of all members, whichever they are. Raises Unavailable."""
        first = await self._members.connected(ANSWER_SECONDS)
        now = (await _call(first, first.kv.Range, rpc.RangeRequest(key=ROOT.encode(), count_only=True))).header.revision
        await self._compact(first, now)

    async def defragment(self) -> None:
        """Each configured member, the one that leads last, after it has passed that on. Raises Unavailable."""
        statuses = {
            member: await _call(member, member.maintenance.Status, rpc.StatusRequest()) for member in self._members
        }
        for member in sorted(statuses, key=lambda each: _leads(statuses[each])):
            if _leads(statuses[member]):
                await self._pass_leadership_on(member)
            await _call(member, member.maintenance.Defragment, rpc.DefragmentRequest(), DEFRAGMENT_SECONDS)

    async def clear_alarms(self) -> None:
        """Of all members. Raises Unavailable."""
        first = await self._members.connected(ANSWER_SECONDS)
        for alarm in await self._alarms():
            deactivate = rpc.AlarmRequest(
                action=rpc.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm
            )
            await _call(first, first.maintenance.Alarm, deactivate)

    async def _pass_leadership_on(self, leading: Member) -> None:
        """To the member with the lowest id; one that cannot take it over is no reason not to defragment."""
        listed = await _call(leading, leading.cluster.MemberList, rpc.MemberListRequest())
        own_id = (await _call(leading, leading.maintenance.Status, rpc.StatusRequest())).header.member_id
        others = sorted(each.ID for each in listed.members if own_id != each.ID and not each.isLearner and each.name)
        if not others:
            return
        try:
            await _call(leading, leading.maintenance.MoveLeader, rpc.MoveLeaderRequest(targetID=others[0]))
        except Unavailable as error:
            _log.warning("cannot pass the leadership of etcd on before it is defragmented: %s", error)

    async def _compact(self, member: Member, revision: int) -> None:
        request = rpc.CompactionRequest(revision=revision, physical=True)
        try:
            await member.kv.Compact(request, timeout=DEFRAGMENT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.OUT_OF_RANGE:  # It is compacted already.
                raise _failure(member, error) from error

    async def _alarms(self) -> Sequence[rpc.AlarmMember]:
        member = await self._members.connected(ANSWER_SECONDS)
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET)
        return list((await _call(member, member.maintenance.Alarm, request)).alarms)


async def find_max_operations(member: Member, limit: int) -> int:
    """How many operations, up to `limit`, this member accepts in one transaction: its --max-txn-ops.

    Raises:
        AioRpcError: the member does not respond.
    """
    if await _accepts(member, limit):
        return limit
    accepted, rejected = 1, limit
    while rejected - accepted > 1:
        middle = (accepted + rejected) // 2
        accepted, rejected = (middle, rejected) if await _accepts(member, middle) else (accepted, middle)
    return accepted


async def _accepts(member: Member, operations: int) -> bool:
    """Try a transaction without effect: its condition never holds."""
    key = ROOT.encode()
    never = rpc.Compare(key=key, target=rpc.Compare.CREATE, result=rpc.Compare.LESS, create_revision=0)
    reads = [rpc.RequestOp(request_range=rpc.RangeRequest(key=key))] * operations
    try:
        await member.kv.Txn(rpc.TxnRequest(compare=[never], success=reads), timeout=ANSWER_SECONDS)
    except grpc.aio.AioRpcError as error:
        if "too many operations" in (error.details() or ""):
            return False
        raise
    return True


def _leads(status: rpc.StatusResponse) -> bool:
    return bool(status.leader) and status.leader == status.header.member_id


async def _member_status(member: Member, alarms: Sequence[rpc.AlarmMember]) -> MemberStatus:
    try:
        answer = await _call(member, member.maintenance.Status, rpc.StatusRequest())
    except Unavailable as error:
        return MemberStatus(member.endpoint, problem=str(error))
    active = {alarm.alarm for alarm in alarms if alarm.memberID == answer.header.member_id}
    return MemberStatus(
        endpoint=member.endpoint,
        version=answer.version,
        database_bytes=answer.dbSize,
        used_bytes=answer.dbSizeInUse,
        problem="; ".join(_ALARMS.get(each, f"alarm {each}") for each in sorted(active)),
        is_leader=_leads(answer),
    )


_ALARMS = {
    rpc.NOSPACE: "space quota exceeded; writes are rejected; run `shoal cluster compact`",
    rpc.CORRUPT: "data corruption detected; restore this member from the others, or from a snapshot",
}


async def _call(
    member: Member,
    call: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    seconds: float = ANSWER_SECONDS,
) -> Response:
    try:
        return await call(request, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        raise _failure(member, error) from error


def _failure(member: Member, error: grpc.aio.AioRpcError) -> Unavailable:
    return Unavailable(f"etcd at {member.endpoint}: {error.details() or error.code().name}")
