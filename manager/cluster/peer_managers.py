"""Calls to other managers: which sessions they hold, and which events they remember."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc import aio

from manager.store.tables import View
from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
from shoal.api.v1.dispatcher_pb2 import (
    DefragmentEtcdRequest,
    EndTermRequest,
    EtcdStatus,
    GetEtcdRequest,
    GetMembershipRequest,
    GetMembershipResponse,
    ListAppliedRequest,
    NodeApplied,
    ReadEventsRequest,
    ReportAttemptsRequest,
    SessionAttempt,
)
from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersStub
from shoal.api.v1.event_pb2 import Event
from shoal.errors import NotFound, ShoalError, Unavailable
from shoal.identity.identity import Identity
from shoal.rpc.channel import connect_aio
from shoal.rpc.request_channel import RequestChannel
from shoal.rpc.status_mapping import to_shoal_error

if TYPE_CHECKING:
    from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersAsyncStub

R = TypeVar("R")

ANSWER_SECONDS = 2.0
ATTEMPTS_SECONDS = 1.0
"""Less than a node is waited for: a manager that does not respond must not delay what the others are told next."""
DIAGNOSIS_SECONDS = 8.0
EVENTS_SECONDS = 5.0
"""For all events that a manager remembers."""
MAX_EVENTS = 20_000
ETCD_SECONDS = 6.0
"""Longer than a manager waits for its etcd."""
DEFRAGMENT_SECONDS = 600.0
END_TERM_SECONDS = 3.0
"""An election of etcd's, which may be under way then, takes up to 2 s."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PeerManagerClient:
    """Calls over mutual TLS, with a connection for each: they are rare.

    Attributes:
        identity: of this manager; read for each call, so that a renewed one is used.
    """

    identity: Callable[[], Identity]

    async def applied(self, address: str, node_ids: Sequence[str]) -> Sequence[NodeApplied]:
        """How current those of these nodes are that have their session with the manager at this address.

        Raises:
            ShoalError: it does not respond within 2 s.
        """
        async with connect_aio([address], self.identity()) as channel:
            request = ListAppliedRequest(node_ids=node_ids)
            try:
                response = await _stub(channel).ListApplied(request, timeout=ANSWER_SECONDS)
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=address) from error
        return list(response.nodes)

    async def end_term(self, address: str, lease: int) -> None:
        """Have the manager at this address end this manager's own term.

        Raises:
            ShoalError: it cannot, or not within 3 s.
        """
        async with connect_aio([address], self.identity()) as channel:
            try:
                await _stub(channel).EndTerm(EndTermRequest(lease=lease), timeout=END_TERM_SECONDS)
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=address) from error

    async def report_attempts(self, address: str, attempts: Sequence[SessionAttempt]) -> None:
        """Tell the manager at this address which nodes have tried in vain to open sessions with this one.

        Raises:
            ShoalError: it does not respond within 1 s.
        """
        request = ReportAttemptsRequest(attempts=attempts)
        await self._ask(address, lambda stub: stub.ReportAttempts(request, timeout=ATTEMPTS_SECONDS))

    async def etcd_status(self, address: str) -> EtcdStatus:
        """Of the etcd beside the manager at this address. Raises ShoalError: it does not respond within 6 s."""
        return await self._ask(address, lambda stub: stub.GetEtcd(GetEtcdRequest(), timeout=ETCD_SECONDS))

    async def defragment_etcd(self, address: str) -> EtcdStatus:
        """Of the etcd beside the manager at this address. Raises ShoalError: it cannot."""
        return await self._ask(
            address, lambda stub: stub.DefragmentEtcd(DefragmentEtcdRequest(), timeout=DEFRAGMENT_SECONDS)
        )

    async def _ask(self, address: str, call: Callable[["ManagerPeersAsyncStub"], Awaitable[R]]) -> R:
        async with connect_aio([address], self.identity()) as channel:
            try:
                return await call(_stub(channel))
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=address) from error

    async def diagnose(self, address: str, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        """Checks of the host of the manager at this address.

        Raises:
            ShoalError: it does not respond within 8 s.
        """
        async with connect_aio([address], self.identity()) as channel:
            try:
                return await _stub(channel).DiagnoseManager(request, timeout=DIAGNOSIS_SECONDS)
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=address) from error

    async def membership(self, address: str, manager_id: str) -> GetMembershipResponse:
        """What the manager at this address knows of another one, and its own epoch.

        Raises:
            ShoalError: it does not respond within 2 s, or does not know it.
        """
        async with connect_aio([address], self.identity()) as channel:
            request = GetMembershipRequest(manager_id=manager_id)
            try:
                return await _stub(channel).GetMembership(request, timeout=ANSWER_SECONDS)
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=address) from error

    async def events(self, address: str, since_ms: int, until_ms: int) -> list[Event]:
        """Events of a period that the manager at this address remembers, the newest 20,000 at most.

        Raises:
            ShoalError: it does not respond within 5 s.
        """
        found: list[Event] = []
        async with connect_aio([address], self.identity()) as channel:
            request = ReadEventsRequest(since_ms=since_ms, until_ms=until_ms)
            try:
                async for response in _stub(channel).ReadEvents(request, timeout=EVENTS_SECONDS):
                    found.extend(response.events)
                    del found[:-MAX_EVENTS]
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=address) from error
        return found


@dataclass(frozen=True)
class PeerEvents:
    """The event logs of the other managers.

    Attributes:
        manager_id: of this manager, which is skipped.
    """

    view: View
    manager_id: str
    channels: PeerManagerClient

    async def read(self, since_ms: int, until_ms: int) -> Sequence[Event]:
        """Events of a period, until before its end, from the manager that has run longest of those that respond.

        Raises:
            NotFound: there are no other managers. Unavailable: none of them responds.
        """
        if not self.view.registered_managers.keys() - {self.manager_id}:
            raise NotFound("no other managers exist")
        others = (each for each in list(self.view.managers.values()) if each.id != self.manager_id)
        for other in sorted(others, key=lambda each: each.started_at_ms):
            try:
                return await self.channels.events(other.api_address, since_ms, until_ms)
            except ShoalError as error:
                _log.warning("cannot read events of manager %s: %s", other.id, error)
        raise Unavailable("no response from any other manager")


def _stub(channel: aio.Channel) -> "ManagerPeersAsyncStub":
    named: Any = RequestChannel(channel)
    stub: ManagerPeersAsyncStub = ManagerPeersStub(named)
    return stub
