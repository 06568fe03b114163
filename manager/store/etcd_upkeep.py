"""What an operator needs to know of etcd and to do for it: how full it is, and making space; what bounds it has."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from aetcd import rpc

from manager.store.etcd_channel import Member, Members
from manager.store.kinds import ROOT
from shoal.errors import Unavailable

ANSWER_SECONDS = 5.0
DEFRAGMENT_SECONDS = 600.0
"""It rewrites the whole database, of 8 GiB at most by default."""


@dataclass(frozen=True)
class MemberCondition:
    """One member as it says of itself.

    Attributes:
        version: "3.4.23"; empty when it does not answer.
        database_bytes: of its file; writes are refused when it reaches the quota.
        used_bytes: what of that is in use; the rest is space that defragmenting gives back.
        problem: one line; empty when all is well.
    """

    endpoint: str
    version: str = ""
    database_bytes: int = 0
    used_bytes: int = 0
    problem: str = ""


class EtcdUpkeep:
    """For the operator; nothing here is done by itself."""

    def __init__(self, members: Members) -> None:
        self._members = members

    async def condition(self) -> Sequence[MemberCondition]:
        """Of each member that we were told of; one that is away says so."""
        alarms = await self._alarms()
        return await asyncio.gather(*(_condition(member, alarms) for member in self._members))

    async def make_space(self) -> Sequence[MemberCondition]:
        """Forget all history, give the space back and let etcd write again after its quota was used up.

        Each member is blocked while it defragments, one after the other, and watches that lag behind list again.

        Returns:
            The members' conditions afterwards.

        Raises:
            Unavailable: a member is away or refused; what was done stays done, and it may be repeated.
        """
        first = await self._members.connected(ANSWER_SECONDS)
        now = (await _ask(first, first.kv.Range, rpc.RangeRequest(key=ROOT.encode(), count_only=True))).header.revision
        await self._compact(first, now)
        for member in self._members:
            await _ask(member, member.maintenance.Defragment, rpc.DefragmentRequest(), DEFRAGMENT_SECONDS)
        actions = rpc.AlarmRequest.AlarmAction
        for alarm in await self._alarms():
            off = rpc.AlarmRequest(action=actions.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
            await _ask(first, first.maintenance.Alarm, off)
        return await self.condition()

    async def _compact(self, member: Member, revision: int) -> None:
        request = rpc.CompactionRequest(revision=revision, physical=True)
        try:
            await member.kv.Compact(request, timeout=DEFRAGMENT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.OUT_OF_RANGE:  # That is compacted already.
                raise _failure(member, error) from error

    async def _alarms(self) -> Sequence[Any]:
        member = await self._members.connected(ANSWER_SECONDS)
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.AlarmAction.GET)
        return list((await _ask(member, member.maintenance.Alarm, request)).alarms)


async def most_operations(member: Member, wanted: int) -> int:
    """How many operations, up to `wanted`, this member takes in one transaction: its --max-txn-ops.

    Raises:
        AioRpcError: it does not say.
    """
    if await _takes(member, wanted):
        return wanted
    taken, refused = 1, wanted
    while refused - taken > 1:
        middle = (taken + refused) // 2
        taken, refused = (middle, refused) if await _takes(member, middle) else (taken, middle)
    return taken


async def _takes(member: Member, operations: int) -> bool:
    """Asks with a transaction that does nothing: its condition never holds."""
    key = ROOT.encode()
    never = rpc.Compare(key=key, target="CREATE", result="LESS", create_revision=0)
    reads = [rpc.RequestOp(request_range=rpc.RangeRequest(key=key))] * operations
    try:
        await member.kv.Txn(rpc.TxnRequest(compare=[never], success=reads), timeout=ANSWER_SECONDS)
    except grpc.aio.AioRpcError as error:
        if "too many operations" in (error.details() or ""):
            return False
        raise
    return True


async def _condition(member: Member, alarms: Sequence[Any]) -> MemberCondition:
    try:
        told = await _ask(member, member.maintenance.Status, rpc.StatusRequest())
    except Unavailable as error:
        return MemberCondition(member.endpoint, problem=str(error))
    raised = {alarm.alarm for alarm in alarms if alarm.memberID == told.header.member_id}
    return MemberCondition(
        endpoint=member.endpoint,
        version=str(told.version),
        database_bytes=told.dbSize,
        used_bytes=told.dbSizeInUse,
        problem="; ".join(_ALARMS.get(each, f"alarm {each}") for each in sorted(raised)),
    )


_ALARMS = {
    rpc.AlarmType.NOSPACE: "its quota is used up, so writes are refused: shoal cluster make-space",
    rpc.AlarmType.CORRUPT: "its data are damaged: restore it from the other members or from a snapshot",
}


async def _ask(member: Member, call: Any, request: Any, seconds: float = ANSWER_SECONDS) -> Any:
    try:
        return await call(request, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        raise _failure(member, error) from error


def _failure(member: Member, error: grpc.aio.AioRpcError) -> Unavailable:
    return Unavailable(f"etcd at {member.endpoint}: {error.details() or error.code().name}")
