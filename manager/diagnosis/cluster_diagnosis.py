"""Runs all checks at once: those of the records here, those of hosts at their managers and agents."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.cluster.cluster_handler import StoreMaintenance
from manager.cluster.manager_handler import tolerance_of
from manager.diagnosis.dial_targets import targets_of_manager, targets_of_node
from manager.diagnosis.etcd_checks import etcd_checks
from manager.diagnosis.network_results import network_checks
from manager.diagnosis.record_checks import (
    backup_checks,
    leader_check,
    node_checks,
    node_state_check,
    tolerance_check,
    version_check,
)
from manager.interfaces import NowMs
from manager.networks.network_check_handler import NetworkCheckHandler
from manager.records.object_lookup import hostname_of
from manager.store.record_store import RecordStore
from shoal.api.v1.control_pb2 import CheckNetworkRequest
from shoal.api.v1.diagnosis_pb2 import (
    DiagnoseClusterRequest,
    DiagnoseClusterResponse,
    DiagnosedPart,
    DiagnoseHostRequest,
    DiagnoseHostResponse,
    DiagnosisCheck,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import ShoalError, Timeout, Unavailable
from shoal.host_checks.findings import failed, passed, warning
from shoal.rpc.caller import Caller

TOTAL_SECONDS = 12.0
CONCURRENT_NODES = 128
SKEWED_MS, TOO_SKEWED_MS = 500, 5000
"""Differences of clocks: agents take leases and schedules by them."""


class AgentDiagnoser(Protocol):
    """`manager.agents.agent_channels.AgentChannels` is one."""

    async def diagnose(self, agent: AgentAddress, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        """Raises ShoalError: the node does not respond."""
        ...


class PeerDiagnoser(Protocol):
    """`manager.cluster.peer_managers.PeerManagerClient` is one."""

    async def diagnose(self, address: str, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        """Raises ShoalError: the manager does not respond."""
        ...


class OwnHost(Protocol):
    """`manager.diagnosis.manager_host.ManagerHost` is one."""

    async def diagnose(self, request: DiagnoseHostRequest) -> DiagnoseHostResponse: ...


class ClusterDiagnosis:
    """The call `DiagnoseCluster`.

    Args:
        own: the checks of this manager's host.
        quota_bytes: of this manager's own etcd; 0: it has none.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        manager_id: str,
        agents: AgentDiagnoser,
        peers: PeerDiagnoser,
        own: OwnHost,
        network: NetworkCheckHandler,
        maintenance: StoreMaintenance,
        quota_bytes: int,
        now_ms: NowMs,
    ) -> None:
        self._store = store
        self._manager_id = manager_id
        self._agents = agents
        self._peers = peers
        self._own = own
        self._network = network
        self._maintenance = maintenance
        self._quota_bytes = quota_bytes
        self._now_ms = now_ms
        self._slots = asyncio.Semaphore(CONCURRENT_NODES)

    async def diagnose(self, _: DiagnoseClusterRequest, caller: Caller) -> DiagnoseClusterResponse:
        """Everything; what does not respond within 12 s in all is a check that failed."""
        view = self._store.tables
        ready = sorted(
            node_id
            for node_id, status in view.node_status.items()
            if status.state == NodeStatus.READY and node_id in view.nodes
        )
        deadline = asyncio.get_running_loop().time() + TOTAL_SECONDS
        cluster, managers, nodes = await asyncio.gather(
            self._cluster_part(caller, deadline),
            asyncio.gather(*(self._manager_part(each, ready, deadline) for each in sorted(view.registered_managers))),
            asyncio.gather(*(self._node_part(each, ready, deadline) for each in sorted(view.nodes))),
        )
        by_name = sorted(nodes, key=lambda part: (part.name, part.id))
        return DiagnoseClusterResponse(parts=[cluster, *managers, *by_name])

    async def _cluster_part(self, caller: Caller, deadline: float) -> DiagnosedPart:
        view = self._store.tables
        checks = [
            leader_check(view),
            tolerance_check(tolerance_of(view), len(view.managers), len(view.registered_managers)),
            version_check(view),
            *backup_checks(view, self._now_ms()),
        ]
        etcd, network = await asyncio.gather(self._etcd(deadline), self._paths(caller, deadline))
        return DiagnosedPart(
            kind=DiagnosedPart.CLUSTER,
            id=view.cluster.meta.id if view.cluster else "",
            checks=[*checks, *etcd, *network],
        )

    async def _etcd(self, deadline: float) -> list[DiagnosisCheck]:
        try:
            async with asyncio.timeout_at(deadline):
                return etcd_checks(await self._maintenance.status(), self._quota_bytes)
        except (ShoalError, TimeoutError) as error:
            action = "start the managers, or the etcd cluster, that are down"
            return [failed("etcd", str(error) or "no response in time", action)]

    async def _paths(self, caller: Caller, deadline: float) -> list[DiagnosisCheck]:
        try:
            async with asyncio.timeout_at(deadline):
                return network_checks(await self._network.check(CheckNetworkRequest(), caller))
        except (ShoalError, TimeoutError) as error:
            found = str(error) or "not completed in time"
            return [warning("network", found, "run `shoal network check`, which takes as long as it needs")]

    async def _manager_part(self, manager_id: str, ready: Sequence[str], deadline: float) -> DiagnosedPart:
        view = self._store.tables
        part = DiagnosedPart(kind=DiagnosedPart.MANAGER, id=manager_id, name=manager_id)
        running = view.managers.get(manager_id)
        if running is None:
            part.checks.append(failed("state", "not running", "start it, or remove it with `shoal manager rm`"))
            return part
        request = self._request()
        request.targets.extend(targets_of_manager(view, manager_id, ready))
        is_own = manager_id == self._manager_id
        call = self._own.diagnose(request) if is_own else self._peers.diagnose(running.api_address, request)
        part.checks.append(passed("state", f"running at {running.api_address}"))
        part.checks.extend(await self._host_checks(call, deadline, "manager"))
        return part

    async def _node_part(self, node_id: str, ready: Sequence[str], deadline: float) -> DiagnosedPart:
        view = self._store.tables
        part = DiagnosedPart(kind=DiagnosedPart.NODE, id=node_id, name=hostname_of(view, node_id))
        status = view.node_status.get(node_id)
        part.checks.append(node_state_check(status))
        if status is None or node_id not in ready:
            return part
        part.checks.extend(node_checks(status))
        request = self._request()
        request.targets.extend(targets_of_node(view, node_id, ready))
        call = self._ask_node(AgentAddress.of(node_id, status.description), request)
        part.checks.extend(await self._host_checks(call, deadline, "agent"))
        return part

    async def _ask_node(self, agent: AgentAddress, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        async with self._slots:
            return await self._agents.diagnose(agent, request)

    def _request(self) -> DiagnoseHostRequest:
        settings = self._store.tables.settings
        return DiagnoseHostRequest(repository=settings.image_repository if settings is not None else "")

    async def _host_checks(
        self, call: Awaitable[DiagnoseHostResponse], deadline: float, program: str
    ) -> list[DiagnosisCheck]:
        """Of a host, and how far its clock is from this one's."""
        action = f"check that the {program} runs there and that its port can be reached from the managers"
        asked_ms = self._now_ms()
        try:
            async with asyncio.timeout_at(deadline):
                response = await call
        except (Unavailable, Timeout) as error:
            return [failed("response", str(error), action)]
        except ShoalError as error:
            return [
                warning("response", str(error), "run the command again; a node of an older release has no such checks")
            ]
        except TimeoutError:
            return [failed("response", "no response in time", action)]
        return [*response.checks, clock_check(response.now_ms, asked_ms, self._now_ms())]


def clock_check(theirs_ms: int, asked_ms: int, answered_ms: int) -> DiagnosisCheck:
    """Their clock against this manager's; they read theirs at the end of the call. Pure."""
    off = 0 if asked_ms <= theirs_ms <= answered_ms else min(abs(theirs_ms - asked_ms), abs(theirs_ms - answered_ms))
    action = "run a time service on all hosts, such as chrony"
    if off >= TOO_SKEWED_MS:
        return failed("clock", f"{off / 1000:.1f} s from the manager's", action)
    if off >= SKEWED_MS:
        return warning("clock", f"{off / 1000:.1f} s from the manager's", action)
    return passed("clock", "within 0.5 s of the manager's")
