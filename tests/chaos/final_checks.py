"""What is looked at once the last fault is over: convergence, agreement, hosts, processes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from manager.etcd.v3 import etcd_pb2 as rpc
from shoal.api.v1.node_pb2 import Node
from shoal.errors import ShoalError
from tests.chaos.checks.agreement import check_agreement, records_in_etcd
from tests.chaos.checks.hosts import check_host
from tests.chaos.checks.key_history import ROOT
from tests.chaos.checks.processes import check_etcd, check_log
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.cluster.etcd_reader import NoMember
from tests.chaos.cluster.host_state import read_host
from tests.chaos.cluster.manager_view import answered_records, client_of, not_converged
from tests.chaos.fault_kinds import AGENTS, MANAGERS
from tests.chaos.violation import ActiveFault, Violation

_ATTEMPTS = 20
"""Comparisons of what goes on changing (jobs on a schedule): one that agrees is enough."""


def await_convergence(cluster: ChaosCluster, seconds: float) -> tuple[float | None, list[str]]:
    """Seconds until all had converged, None: not in time; and what had not."""
    begun, left = time.monotonic(), ["no manager answers"]
    while time.monotonic() < begun + seconds:
        with suppress(ShoalError), cluster.client() as client:
            left = not_converged(client)
            if not left:
                return time.monotonic() - begun, []
        time.sleep(0.25)
    return None, left


def check_managers(cluster: ChaosCluster) -> Iterator[Violation]:
    """Each manager's answers against etcd, and etcd's members against each other."""
    for name in MANAGERS:
        found: list[Violation] = []
        for _ in range(_ATTEMPTS):
            found = _compare(cluster, name)
            if not found:
                break
            time.sleep(0.5)
        yield from found
    yield from _check_members(cluster)


def _compare(cluster: ChaosCluster, name: str) -> list[Violation]:
    try:
        with client_of(cluster.context, cluster.api(name)) as client:
            answered = answered_records(client)
        _, stored = cluster.etcd.records(name)
    except (ShoalError, NoMember) as error:
        return [Violation(5, f"manager {name} does not answer: {error}")]
    return list(check_agreement(name, answered, records_in_etcd(values(stored))))


def _check_members(cluster: ChaosCluster) -> Iterator[Violation]:
    """Cluster id and revision are the same on all."""
    last: set[tuple[int, int]] = set()
    for _ in range(_ATTEMPTS):
        try:
            states = [cluster.etcd.status(name).header for name in MANAGERS]
        except NoMember as error:
            yield Violation(5, f"a member of etcd does not answer: {error}")
            return
        last = {(each.cluster_id, each.revision) for each in states}
        if len(last) == 1:
            return
        time.sleep(0.3)
    yield Violation(5, f"members of etcd differ: cluster and revision {sorted(last)}")


def check_hosts(cluster: ChaosCluster) -> Iterator[Violation]:
    """Each host against the records; what only just changes is looked at again."""
    for name in AGENTS:
        found: list[Violation] = []
        for _ in range(_ATTEMPTS):
            stored = values(cluster.etcd.records()[1])
            node_id = node_ids(stored).get(name, "")
            found = list(check_host(read_host(cluster.host(name), node_id), stored, node_id))
            if not found:
                break
            time.sleep(0.5)
        yield from found


def node_ids(records: Mapping[str, bytes]) -> dict[str, str]:
    """By hostname."""
    nodes = [Node.FromString(value) for key, value in records.items() if _is_node(key)]
    return {each.spec.identity.hostname: each.meta.id for each in nodes}


def _is_node(key: str) -> bool:
    return key.startswith(f"{ROOT}nodes/") and key.endswith("/spec")


def values(records: Mapping[bytes, rpc.KeyValue]) -> dict[str, bytes]:
    """By key as text."""
    return {key.decode(): each.value for key, each in records.items()}


def check_logs(cluster: ChaosCluster, faults: Sequence[ActiveFault]) -> Iterator[Violation]:
    """Of every manager and agent."""
    for name in cluster.names():
        with suppress(FileNotFoundError):
            lines = cluster.log(name).read_text(errors="replace").splitlines()
            yield from check_log(name, lines)
            yield from check_etcd(name, lines, sum(each.name == f"kill-etcd {name}" for each in faults))
