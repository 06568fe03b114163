"""Serves other managers: what this one's nodes have applied, its recent events, its host; receives their reports."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from manager.dispatcher.liveness.session_attempts import MAX_ATTEMPTS
from manager.membership.member_api import EtcdMembers
from shoal.api.v1.cluster_pb2 import Epoch, Manager, ManagerMembership, RemovedManager
from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
from shoal.api.v1.dispatcher_pb2 import (
    DefragmentEtcdRequest,
    EndTermRequest,
    EndTermResponse,
    EtcdPeer,
    EtcdStatus,
    GetEtcdRequest,
    GetMembershipRequest,
    GetMembershipResponse,
    ListAppliedRequest,
    ListAppliedResponse,
    NodeApplied,
    ReadEventsRequest,
    ReadEventsResponse,
    ReportAttemptsRequest,
    ReportAttemptsResponse,
    SessionAttempt,
)
from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersServicer
from shoal.api.v1.event_pb2 import Event
from shoal.errors import Fault, InvalidInput, NotFound
from shoal.rpc.caller import Context, caller_of


class EtcdCalls(Protocol):
    """`manager.cluster.managers_etcds.ManagersEtcds` is one."""

    async def own_status(self) -> EtcdStatus: ...
    async def defragment_own(self) -> EtcdStatus: ...


class ManagerPeersService(ManagerPeersServicer):
    """Serves managers.

    Args:
        applied: `Dispatcher.applied`.
        attempts: `SessionAttempts.failed_elsewhere`.
        events: `EventLog.between`.
        memberships, managers, removed: the live tables of all managers' memberships, of those that run, and of those
            that were removed.
        members: of etcd.
        end_term: `Leadership.end_term`.
        etcds: of this manager's etcd.
        diagnose: checks this manager's host.
        epoch: of the cluster.
    """

    def __init__(
        self,
        *,
        applied: Callable[[Iterable[str]], Sequence[NodeApplied]],
        attempts: Callable[[Iterable[SessionAttempt]], None],
        events: Callable[[int, int], AsyncGenerator[Sequence[Event], None]],
        memberships: Mapping[str, ManagerMembership],
        managers: Mapping[str, Manager],
        removed: Mapping[str, RemovedManager],
        members: Callable[[], Awaitable[EtcdMembers]],
        end_term: Callable[[str, int], Awaitable[None]],
        etcds: EtcdCalls,
        diagnose: Callable[[DiagnoseHostRequest], Awaitable[DiagnoseHostResponse]],
        epoch: Callable[[], Epoch],
    ) -> None:
        self._applied = applied
        self._attempts = attempts
        self._events = events
        self._memberships = memberships
        self._managers = managers
        self._removed = removed
        self._members = members
        self._end_term = end_term
        self._etcds = etcds
        self._diagnose = diagnose
        self._epoch = epoch

    async def GetEtcd(self, request: GetEtcdRequest, context: Context) -> EtcdStatus:  # noqa: N802
        return await self._etcds.own_status()

    async def DefragmentEtcd(self, request: DefragmentEtcdRequest, context: Context) -> EtcdStatus:  # noqa: N802
        """Raises Unavailable: it does not respond, or refuses."""
        return await self._etcds.defragment_own()

    async def EndTerm(self, request: EndTermRequest, context: Context) -> EndTermResponse:  # noqa: N802
        """Raises NotFound: the caller does not lead. Unavailable: etcd does not respond here either."""
        await self._end_term(caller_of(context).name, request.lease)
        return EndTermResponse()

    async def ListApplied(self, request: ListAppliedRequest, context: Context) -> ListAppliedResponse:  # noqa: N802
        return ListAppliedResponse(nodes=self._applied(request.node_ids))

    async def ReportAttempts(  # noqa: N802
        self, request: ReportAttemptsRequest, context: Context
    ) -> ReportAttemptsResponse:
        """Raises InvalidInput: too many."""
        if len(request.attempts) > MAX_ATTEMPTS:
            raise InvalidInput([Fault("attempts", f"too many; the maximum is {MAX_ATTEMPTS:,}")])
        self._attempts(request.attempts)
        return ReportAttemptsResponse()

    async def DiagnoseManager(self, request: DiagnoseHostRequest, context: Context) -> DiagnoseHostResponse:  # noqa: N802
        return await self._diagnose(request)

    async def ReadEvents(  # noqa: N802
        self, request: ReadEventsRequest, context: Context
    ) -> AsyncGenerator[ReadEventsResponse]:
        async with aclosing(self._events(request.since_ms, request.until_ms)) as found:
            async for events in found:
                yield ReadEventsResponse(events=events)

    async def GetMembership(  # noqa: N802
        self, request: GetMembershipRequest, context: Context
    ) -> GetMembershipResponse:
        """Raises NotFound: it is not known here, or not yet."""
        if request.manager_id in self._removed:
            return GetMembershipResponse(removed=True, epoch=self._epoch())
        membership = self._memberships.get(request.manager_id)
        if membership is None:
            raise NotFound(f"manager {request.manager_id} is not known to this manager")
        found = await self._members() if membership.member_id else EtcdMembers(())
        peers = [EtcdPeer(member_id=each.id, name=each.name, peer_urls=each.peer_urls) for each in found.members]
        running = self._managers.get(request.manager_id)
        return GetMembershipResponse(membership=membership, peers=peers, running=running, epoch=self._epoch())
