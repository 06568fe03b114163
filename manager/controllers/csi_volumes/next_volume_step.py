"""Decides the next step for a CSI volume. Pure.

A volume is created once by its driver. Each node whose tasks need it gets a publication, which waits, is attached by
the driver's controller, is READY for the node, is RELEASING when the last task has ended, and is detached when the node
reports that it has released it. At the end the volume is deleted. The invariants, which the tests verify:

- Whatever a driver may have done is in the record before the driver is called, so after a crash the same call is made
  again, which CSI requires to be idempotent, and nothing is forgotten.
- A single-node volume has at most one publication that is not WAITING.
- A publication that was READY ends only when its node has reported its release, by number, or was removed from the
  cluster.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from manager.controllers.csi_volumes.volume_facts import NodeFacts, VolumeFacts
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    MULTI_NODE_READER_ONLY,
    Volume,
    VolumePublication,
    VolumeSpec,
    VolumeStatus,
)

WAITING, ATTACHING = VolumePublication.WAITING, VolumePublication.ATTACHING
READY, RELEASING = VolumePublication.READY, VolumePublication.RELEASING


class DriverMethod(Enum):
    """A method of a driver's controller; the value is for messages."""

    CREATE = "created"
    DELETE = "deleted"
    ATTACH = "attached"
    DETACH = "detached"


@dataclass(frozen=True)
class WriteStatus:
    """Commit this."""

    status: VolumeStatus


@dataclass(frozen=True)
class DriverCall:
    """Commit this, then call the driver's controller.

    Attributes:
        node_id: of ATTACH and DETACH.
    """

    method: DriverMethod
    status: VolumeStatus
    node_id: str = ""


def is_single_node(spec: VolumeSpec) -> bool:
    """Whether it can be used on only one node at a time."""
    return spec.access_mode not in (MULTI_NODE_READER_ONLY, MULTI_NODE_MULTI_WRITER)


def next_steps(facts: VolumeFacts) -> list[WriteStatus | DriverCall]:
    """What to do next: one write, or calls in any order."""
    status = copy_status(facts.status) if facts.status is not None else VolumeStatus(volume_id=facts.volume.meta.id)
    if status.deleted:
        return []
    if facts.volume.forced and facts.volume.removing and not facts.needed_on:
        return [WriteStatus(VolumeStatus(volume_id=status.volume_id, deleted=True))]
    if not status.driver_volume_id:
        return _create(facts, status)
    publications = list(_publications(facts, status))
    if publications != list(status.publications):
        return [WriteStatus(_with_publications(status, publications))]
    if facts.volume.removing and not publications:
        return [_delete(facts, status)]
    return [
        DriverCall(method, status, each.node_id)
        for each in publications
        if (method := _due_call(facts, each)) is not None
    ]


def _create(facts: VolumeFacts, status: VolumeStatus) -> list[WriteStatus | DriverCall]:
    if facts.volume.removing and not status.outcome_unknown:
        status.deleted = True
        return [WriteStatus(status)]
    if not facts.driver.known:
        return _with_problem(status, f"no node has driver {facts.volume.spec.driver}")
    if not facts.driver.creates:
        # The driver creates no volumes: it has them already, by name.
        status.driver_volume_id, status.problem = facts.volume.spec.name, ""
        status.context.update(facts.volume.spec.options)
        return [WriteStatus(status)]
    status.outcome_unknown = True
    return [DriverCall(DriverMethod.CREATE, status)]


def _delete(facts: VolumeFacts, status: VolumeStatus) -> WriteStatus | DriverCall:
    if facts.driver.known and not facts.driver.creates:
        status.deleted = True
        return WriteStatus(status)
    return DriverCall(DriverMethod.DELETE, status)


def _with_problem(status: VolumeStatus, problem: str) -> list[WriteStatus | DriverCall]:
    if status.problem == problem:
        return []
    status.problem = problem
    return [WriteStatus(status)]


def _publications(facts: VolumeFacts, status: VolumeStatus) -> Iterator[VolumePublication]:
    """The publications as far as they can advance without a call: existing ones, then new ones."""
    kept = [moved for each in status.publications if (moved := _advanced(facts, each)) is not None]
    number = status.last_publication_number
    for node_id in sorted(facts.needed_on - {each.node_id for each in kept}):
        number += 1
        kept.append(VolumePublication(node_id=node_id, number=number, state=WAITING))
    busy = next((each for each in kept if each.state != WAITING), None) if is_single_node(facts.volume.spec) else None
    for each in kept:
        if each.state == WAITING:
            each = _admitted(facts, each, busy)
            if each.state != WAITING and is_single_node(facts.volume.spec):
                busy = each
        yield each


def _advanced(facts: VolumeFacts, old: VolumePublication) -> VolumePublication | None:
    is_needed, exists = old.node_id in facts.needed_on, old.node_id in facts.nodes
    if old.state in (WAITING, ATTACHING) and not is_needed and not old.attached:
        return None
    if old.state == RELEASING and not old.attached and _is_released(facts, old):
        return None
    new = VolumePublication()
    new.CopyFrom(old)
    if old.state == READY and not is_needed:
        new.state, new.problem = RELEASING, ""
    if new.state == RELEASING and exists and not _is_released(facts, new):
        new.problem = _not_released_reason(facts.nodes[new.node_id])
    return new


def _admitted(facts: VolumeFacts, waiting: VolumePublication, busy: VolumePublication | None) -> VolumePublication:
    """A waiting publication, advanced if nothing prevents it."""
    new = VolumePublication()
    new.CopyFrom(waiting)
    node = facts.nodes.get(waiting.node_id)
    if busy is not None:
        new.problem = _in_use_reason(facts, busy)
    elif node is None or not node.driver_node_id:
        new.problem = f"the node does not have driver {facts.volume.spec.driver}"
    else:
        new.state, new.problem = (ATTACHING if facts.driver.attaches else READY), ""
        new.driver_node_id, new.attached = node.driver_node_id, facts.driver.attaches
    return new


def _due_call(facts: VolumeFacts, publication: VolumePublication) -> DriverMethod | None:
    if publication.state == ATTACHING:
        return DriverMethod.ATTACH if publication.node_id in facts.needed_on else DriverMethod.DETACH
    if publication.state == RELEASING and _is_released(facts, publication):
        return DriverMethod.DETACH
    return None


def _is_released(facts: VolumeFacts, publication: VolumePublication) -> bool:
    """Whether the node has released it. Removing a node from the cluster counts as releasing."""
    node = facts.nodes.get(publication.node_id)
    return node is None or (node.reported.released and node.reported.number == publication.number)


def _not_released_reason(node: NodeFacts) -> str:
    if node.down:
        name = node.hostname
        return f"node {name} is down and may still use it; to release it anyway, run `shoal node rm --force {name}`"
    return node.reported.problem


def _in_use_reason(facts: VolumeFacts, busy: VolumePublication) -> str:
    """Why a single-node volume cannot be attached to another node."""
    node = facts.nodes.get(busy.node_id)
    if node is None:
        return "being detached from a removed node"
    if node.down:
        return _not_released_reason(node)
    if busy.state == RELEASING and busy.problem:
        return f"node {node.hostname} has not released it: {busy.problem}"
    return f"in use on node {node.hostname}"


def _with_publications(status: VolumeStatus, publications: Iterable[VolumePublication]) -> VolumeStatus:
    new = copy_status(status)
    del new.publications[:]
    new.publications.extend(publications)
    new.last_publication_number = max([status.last_publication_number, *(each.number for each in new.publications)])
    return new


def copy_status(status: VolumeStatus) -> VolumeStatus:
    """A copy to change; records are immutable."""
    new = VolumeStatus()
    new.CopyFrom(status)
    return new


def is_csi(volume: Volume) -> bool:
    """Whether it belongs to a CSI driver."""
    return volume.spec.driver not in ("", "local")
