"""Invariant 5: at the end all has converged, and what each manager answers is what etcd has. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from shoal.api.v1 import file_pb2, network_pb2, node_pb2, service_pb2, standalone_pb2, task_pb2, volume_pb2
from tests.chaos.checks.key_history import ROOT
from tests.chaos.violation import Violation


@dataclass(frozen=True)
class ServiceCount:
    """A service as the API answers.

    Attributes:
        problem: of its convergence; empty: there is none.
    """

    name: str
    is_job: bool
    desired: int
    running: int
    completed: int
    problem: str


def unconverged(services: list[ServiceCount], nodes: Mapping[str, str], leaders: int) -> list[str]:
    """What has not converged, a line each.

    Args:
        nodes: states by hostname, of the cluster's own nodes.
        leaders: how many managers say that they lead.
    """
    found = []
    for each in services:
        if each.problem:
            found.append(f"service {each.name}: {each.problem}")
        elif not each.is_job and each.running != each.desired:
            found.append(f"service {each.name} has {each.running} of {each.desired} tasks")
    found += (f"node {name} is {state}" for name, state in sorted(nodes.items()) if state != "ready")
    if leaders != 1:
        found.append(f"{leaders} managers lead")
    return found


_MESSAGES: Mapping[str, tuple[str, str, type[Message]]] = {
    "service": (f"{ROOT}services/", "/spec", service_pb2.Service),
    "service status": (f"{ROOT}services/", "/status", service_pb2.ServiceStatus),
    "task": (f"{ROOT}tasks/", "", task_pb2.Task),
    "task status": (f"{ROOT}status/", "", task_pb2.TaskStatus),
    "node": (f"{ROOT}nodes/", "/spec", node_pb2.Node),
    "node status": (f"{ROOT}nodes/", "/status", node_pb2.NodeStatus),
    "network": (f"{ROOT}networks/", "/spec", network_pb2.Network),
    "volume": (f"{ROOT}volumes/", "", volume_pb2.Volume),
    "config": (f"{ROOT}configs/", "", file_pb2.File),
    "secret": (f"{ROOT}secrets/", "", file_pb2.File),
    "container": (f"{ROOT}containers/", "", standalone_pb2.Container),
}
"""By kind: how keys begin and end, and the record's message."""

Records = dict[tuple[str, str], bytes]
"""By kind and id: deterministic bytes of a record, without its version, which is not stored."""


def canonical(record: Message) -> bytes:
    """Equal for equal records."""
    copy = type(record)()
    copy.CopyFrom(record)
    meta = getattr(copy, "meta", None)
    if meta is not None and copy.HasField("meta"):
        meta.version = 0
    if isinstance(copy, node_pb2.NodeStatus):
        copy.description.ClearField("devices")  # lists are answered without them
    if isinstance(copy, file_pb2.File):
        copy = file_pb2.File(meta=copy.meta, spec=copy.spec)
    return copy.SerializeToString(deterministic=True)


def records_in_etcd(stored: Mapping[str, bytes]) -> Records:
    """Those of the kinds that the API answers whole."""
    found: Records = {}
    for key, value in stored.items():
        for kind, (prefix, suffix, message) in _MESSAGES.items():
            if key.startswith(prefix) and key.endswith(suffix):
                identifier = key[len(prefix) : len(key) - len(suffix)]
                if "/" not in identifier:
                    found[kind, identifier] = canonical(message.FromString(value))
    # Of a container of one's own the API has no status by itself.
    return {key: value for key, value in found.items() if key[0] != "service status" or ("service", key[1]) in found}


def check_agreement(manager: str, answered: Records, stored: Records) -> Iterator[Violation]:
    """Where a manager's answers differ from etcd."""
    for kind, identifier in sorted(answered.keys() | stored.keys()):
        theirs, ours = answered.get((kind, identifier)), stored.get((kind, identifier))
        if theirs == ours:
            continue
        if theirs is None:
            what = "does not know"
        elif ours is None:
            what = "still has"
        else:
            what = "has other bytes of"
        yield Violation(5, f"manager {manager} {what} {kind} {identifier}")
