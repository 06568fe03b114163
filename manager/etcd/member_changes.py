"""Changes of etcd's members: the `MemberApi` of a running manager."""

from typing import TypeVar

import grpc.aio
from google.protobuf.message import Message

from manager.etcd.members import Member, Members
from manager.etcd.v3 import etcd_pb2 as rpc
from manager.membership.member_api import EtcdMember, EtcdMembers, NotNow
from shoal.errors import Unavailable

CHANGE_SECONDS = 10.0
"""A change is a transaction of etcd's; without a majority it fails after etcd's own limit of 7 s."""
_NOT_NOW = (
    "unhealthy cluster",  # Not every member has been connected for 5 s, as after each change.
    "too many learner members",
    "in sync with leader",
    "not enough started members",
    "Peer URLs already exists",
    "leader changed",
)
_GONE = ("member not found",)

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class EtcdMemberChanges:
    """Implements `manager.membership.member_api.MemberApi`.

    Args:
        members: the one member beside this manager.
    """

    def __init__(self, members: Members) -> None:
        self._members = members

    async def list(self) -> EtcdMembers:
        """Linearizable, as the status is of this moment: a member that lost its cluster does not answer."""
        member = await self._connected()
        # MemberList of 3.4 answers from memory: a read, which needs the leader, has to succeed first.
        await _call(member.kv.Range, rpc.RangeRequest(key=b"/", count_only=True))
        listed = await _call(member.cluster.MemberList, rpc.MemberListRequest())
        status = await _call(member.maintenance.Status, rpc.StatusRequest())
        return EtcdMembers([_member(each) for each in listed.members], status.leader)

    async def own_id(self) -> int:
        """The id of the member beside this manager."""
        member = await self._connected()
        return (await _call(member.maintenance.Status, rpc.StatusRequest())).header.member_id

    async def add_learner(self, peer_url: str) -> EtcdMember:
        member = await self._connected()
        request = rpc.MemberAddRequest(peerURLs=[peer_url], isLearner=True)
        return _member((await _call(member.cluster.MemberAdd, request)).member)

    async def promote(self, member_id: int) -> None:
        member = await self._connected()
        await _call(member.cluster.MemberPromote, rpc.MemberPromoteRequest(ID=member_id))

    async def remove(self, member_id: int) -> None:
        member = await self._connected()
        try:
            await _call(member.cluster.MemberRemove, rpc.MemberRemoveRequest(ID=member_id))
        except _NoSuchMember:
            return

    async def update(self, member_id: int, peer_url: str) -> None:
        member = await self._connected()
        request = rpc.MemberUpdateRequest(ID=member_id, peerURLs=[peer_url])
        await _call(member.cluster.MemberUpdate, request)

    async def move_leader(self, member_id: int) -> None:
        member = await self._connected()
        await _call(member.maintenance.MoveLeader, rpc.MoveLeaderRequest(targetID=member_id))

    async def _connected(self) -> Member:
        return await self._members.connected(CHANGE_SECONDS)


class _NoSuchMember(Unavailable):
    """The member of the call is none."""


def _member(found: rpc.Member) -> EtcdMember:
    return EtcdMember(found.ID, found.name, tuple(found.peerURLs), found.isLearner)


async def _call(call: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request) -> Response:
    try:
        return await call(request, timeout=CHANGE_SECONDS)
    except grpc.aio.AioRpcError as error:
        text = error.details() or error.code().name
        if any(each in text for each in _NOT_NOW):
            raise NotNow(f"etcd: {text}") from error
        if any(each in text for each in _GONE):
            raise _NoSuchMember(f"etcd: {text}") from error
        raise Unavailable(f"etcd: {text}") from error
