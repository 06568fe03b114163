"""The diagnosis of a cluster whose hosts are made up, and what its checks make of what they find."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.diagnosis.kernel_checks import kernel_checks, limits_check, nftables_check, read_controllers
from agent.diagnosis.resolver_checks import resolvers_of
from manager.agents.agent_address import AgentAddress
from manager.diagnosis import cluster_diagnosis
from manager.diagnosis.cluster_diagnosis import ClusterDiagnosis, clock_check
from manager.diagnosis.etcd_checks import etcd_checks
from manager.diagnosis.network_results import network_checks
from manager.diagnosis.record_checks import tolerance_check
from manager.membership.tolerance import tolerance
from manager.networks.network_check_handler import NetworkCheckHandler
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.cluster_pb2 import Manager, RegisteredManager
from shoal.api.v1.control_pb2 import CheckNetworkResponse, NodePair, PathReport, PortCheck
from shoal.api.v1.diagnosis_pb2 import (
    DiagnoseClusterRequest,
    DiagnosedPart,
    DiagnoseHostRequest,
    DiagnoseHostResponse,
    DiagnosisCheck,
    DialTarget,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import NodeReachability, PathMeasurement, ProbeRequest, ProbeResponse
from shoal.errors import Busy, InvalidInput, Timeout, Unavailable
from shoal.host_checks.disk_checks import check_disk, inode_check, space_check
from shoal.host_checks.findings import passed
from shoal.host_checks.port_checks import MAX_TARGETS, check_ports, require_few
from tests.unit.manager_api.control_rig import ADMIN, Api, two_managers

OK, WARNING, FAILED = DiagnosisCheck.OK, DiagnosisCheck.WARNING, DiagnosisCheck.FAILED
GIB = 1 << 30


@dataclass(frozen=True)
class Member:
    endpoint: str = "10.0.0.5:2379"
    version: str = "3.5.26"
    database_bytes: int = 100 << 20
    used_bytes: int = 90 << 20
    problem: str = ""
    is_leader: bool = False


class Hosts:
    """Answers for agents and managers; some hang, refuse or are away."""

    def __init__(
        self, *, hanging: str = "", busy: str = "", away: str = "", silent: str = "", late_ms: int = 0
    ) -> None:
        self._hanging, self._busy, self._away, self._late_ms = hanging, busy, away, late_ms
        self._silent = silent
        self.asked: dict[str, DiagnoseHostRequest] = {}

    async def diagnose(self, agent: AgentAddress, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        self.asked[agent.node_id] = request
        if agent.node_id == self._hanging:
            await asyncio.sleep(60)
        if agent.node_id == self._busy:
            raise Busy("another diagnosis is running on this node", 2)
        if agent.node_id == self._away:
            raise Unavailable("connection refused")
        if agent.node_id == self._silent:
            raise Timeout("no response within 8 s")
        return DiagnoseHostResponse(checks=[passed("kernel", "Linux")], now_ms=_now_ms() + self._late_ms)

    async def probe(self, agent: AgentAddress, request: ProbeRequest) -> ProbeResponse:
        path = PathMeasurement(sent=4, rtts_us=[100] * 4, mtu=1500, expected_mtu=1500)
        return ProbeResponse(nodes=[NodeReachability(node_id=each.node_id, underlay=path) for each in request.nodes])


class Peers:
    async def diagnose(self, address: str, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        return DiagnoseHostResponse(checks=list(await check_ports(())), now_ms=_now_ms())


class Own:
    async def diagnose(self, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        return DiagnoseHostResponse(now_ms=_now_ms())


class Maintenance:
    async def status(self) -> Sequence[Member]:
        return [Member()]

    async def compact(self) -> Sequence[Member]:
        return []


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _cluster(rig: Api) -> None:
    for number in (1, 2, 3):
        await rig.add_node(f"node{number}", f"h{number}")
    await rig.add_node("node4", "h4", NodeStatus.DOWN)
    running = Manager(id="m1", api_address="10.0.0.1:7440", version="0.1.0")
    registered = [RegisteredManager(id=each, api_address=f"{each}:7440") for each in ("m1", "m2")]
    await rig.store.commit(
        [put(kinds.MANAGER, "m1", running), *(put(kinds.REGISTERED_MANAGER, each.id, each) for each in registered)]
    )


def _diagnosed(hosts: Hosts) -> dict[str, dict[str, DiagnosisCheck]]:
    async def run() -> dict[str, dict[str, DiagnosisCheck]]:
        async with two_managers() as (rig, _):
            await _cluster(rig)
            diagnosis = ClusterDiagnosis(
                store=rig.store,
                manager_id="m1",
                agents=hosts,
                peers=Peers(),
                own=Own(),
                network=NetworkCheckHandler(store=rig.store, prober=hosts),
                maintenance=Maintenance(),
                quota_bytes=8 * GIB,
                now_ms=_now_ms,
            )
            response = await diagnosis.diagnose(DiagnoseClusterRequest(), ADMIN)
        return {
            f"{DiagnosedPart.Kind.Name(part.kind).lower()} {part.name}".rstrip(): {
                check.name: check for check in part.checks
            }
            for part in response.parts
        }

    return asyncio.run(run())


def test_everything_is_asked_and_what_is_down_is_told() -> None:
    hosts = Hosts()
    parts = _diagnosed(hosts)
    assert list(parts) == ["cluster", "manager m1", "manager m2", "node h1", "node h2", "node h3", "node h4"]
    assert parts["manager m2"]["state"].result == parts["node h4"]["state"].result == FAILED
    assert parts["node h1"]["kernel"].result == OK
    assert parts["cluster"]["managers"].result == FAILED, "one of two runs"
    asked = {target.name for target in hosts.asked["node1"].targets}
    assert asked == {"manager m1", "manager m2", "node h2", "node h3"}


def test_a_node_that_hangs_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_diagnosis, "TOTAL_SECONDS", 0.3)
    parts = _diagnosed(Hosts(hanging="node2", away="node3", silent="node1"))
    assert parts["node h2"]["response"].found == "no response in time"
    assert parts["node h3"]["response"].found == "connection refused"
    assert {parts[name]["response"].result for name in ("node h2", "node h3")} == {FAILED}
    assert parts["node h1"]["response"].result == FAILED
    assert parts["cluster"]["leader"].name == "leader"


def test_a_busy_node_is_a_warning() -> None:
    assert _diagnosed(Hosts(busy="node1"))["node h1"]["response"].result == WARNING


@pytest.mark.parametrize(("late_ms", "result"), [(0, OK), (2_000, WARNING), (-2_000, WARNING), (60_000, FAILED)])
def test_clocks_are_compared(late_ms: int, result: DiagnosisCheck.Result.ValueType) -> None:
    assert clock_check(1_000_000 + late_ms, 1_000_000, 1_000_100).result == result
    assert _diagnosed(Hosts(late_ms=late_ms))["node h1"]["clock"].result == result


def test_disks_nearly_full_and_without_inodes() -> None:
    assert [space_check("s", "/", free=free, total=100).result for free in (50, 9, 1)] == [OK, WARNING, FAILED]
    assert [inode_check("s", "/", free=free, total=100).result for free in (50, 9, 1)] == [OK, WARNING, FAILED]
    assert inode_check("s", "/", free=0, total=0).result == OK, "btrfs has no limit"
    (missing,) = check_disk("state", Path("/nonexistent"))
    assert missing.result == FAILED


def test_etcd_near_its_quota_fragmented_mixed_or_away() -> None:
    def results(*members: Member) -> dict[str, DiagnosisCheck.Result.ValueType]:
        return {check.name: check.result for check in etcd_checks(members, 8 * GIB)}

    assert set(results(Member()).values()) == {OK}
    assert results(Member(database_bytes=7 * GIB, used_bytes=7 * GIB))["etcd size 10.0.0.5:2379"] == WARNING
    assert results(Member(database_bytes=int(7.9 * GIB)))["etcd size 10.0.0.5:2379"] == FAILED
    assert results(Member(database_bytes=GIB))["etcd fragmentation 10.0.0.5:2379"] == WARNING
    assert results(Member(), Member(endpoint="b", version="3.4.23"))["etcd versions"] == WARNING
    assert results(Member(problem="space quota exceeded"))["etcd 10.0.0.5:2379"] == FAILED
    assert results(Member(version="")) == {"etcd 10.0.0.5:2379": FAILED}
    assert results() == {"etcd": FAILED}


def test_paths_and_ports_between_nodes() -> None:
    good = PathReport(sent=4, received=4, mtu=1500, expected_mtu=1500)
    small = PathReport(sent=4, received=4, mtu=1400, expected_mtu=1500)
    pair = NodePair(from_hostname="h1", to_hostname="h2", underlay=good, overlay=small)
    silent = NodePair(from_hostname="h2", to_hostname="h1", underlay=PathReport(sent=4))
    ports = [PortCheck(service_name="web", node_hostname="h1", port=80, open=False)]
    checks = {each.name: each for each in network_checks(CheckNetworkResponse(pairs=[pair, silent], ports=ports))}
    assert (checks["underlay"].result, checks["underlay"].found) == (FAILED, "no response: h2 to h1")
    assert checks["overlay"].result == WARNING
    assert checks["published ports"].found == "closed: 80 of web at h1"


def test_managers_that_tolerate_nothing() -> None:
    assert tolerance_check(tolerance(3, 3), 3, 3).result == OK
    assert tolerance_check(tolerance(3, 2), 2, 3).result == FAILED
    assert tolerance_check(tolerance(5, 4), 4, 5).result == WARNING
    assert tolerance_check(tolerance(2, 2), 2, 2).result == WARNING


def test_a_kernel_without_what_containers_need() -> None:
    def results(**changes: object) -> dict[str, DiagnosisCheck.Result.ValueType]:
        have = {
            "release": "6.1", "cgroup_version": 2, "controllers": frozenset({"cpu", "memory", "pids", "io"}),
            "namespaces": frozenset({"mnt", "pid", "net", "ipc", "uts", "user", "cgroup"}), "overlay_error": 0,
            "has_tunnel": True, "features": ["wireguard"],
        }  # fmt: skip
        return {check.name: check.result for check in kernel_checks(**{**have, **changes})}  # type: ignore[arg-type]

    assert set(results().values()) == {OK}
    assert results(cgroup_version=1)["cgroups"] == WARNING
    assert results(controllers=frozenset({"cpu"}))["cgroups"] == results(cgroup_version=0)["cgroups"] == FAILED
    assert results(namespaces=frozenset({"mnt"}))["namespaces"] == FAILED
    assert results(overlay_error=19)["overlayfs"] == results(has_tunnel=False)["vxlan"] == FAILED
    assert results(features=[])["network encryption"] == WARNING
    assert nftables_check(works=False, problem="no module").result == FAILED
    assert [limits_check(number).result for number in (128, 127)] == [OK, WARNING]


def test_controllers_of_both_versions_of_cgroups() -> None:
    def version1(path: str) -> str:
        if path != "/proc/cgroups":
            raise FileNotFoundError(path)
        return "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t2\t1\nblkio\t1\t2\t1\nmemory\t0\t2\t0\n"

    assert read_controllers(version1) == {"cpu", "blkio", "io"}
    assert read_controllers(lambda _: "cpu memory\n") == {"cpu", "memory"}


def test_only_a_few_resolvers_are_asked() -> None:
    text = "# nameserver 1.1.1.1\nnameserver 10.0.0.1\nsearch x\n" + "nameserver 10.0.0.2\n" * 20
    assert list(resolvers_of(text)) == ["10.0.0.1", "10.0.0.2", "10.0.0.2"]


def test_ports_that_are_open_closed_or_too_many() -> None:
    async def run() -> list[DiagnosisCheck]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            found = await check_ports([DialTarget(name="node h1", address=f"127.0.0.1:{port}")])
        return found + await check_ports([DialTarget(name="node h1", address=f"127.0.0.1:{port}")])

    up, down = asyncio.run(run())
    assert (up.result, down.result) == (OK, FAILED)
    with pytest.raises(InvalidInput, match="too many"):
        require_few([DialTarget(name="x", address="127.0.0.1:1")] * (MAX_TARGETS + 1))
    with pytest.raises(InvalidInput):
        require_few([DialTarget(name="x", address="nonsense")])
