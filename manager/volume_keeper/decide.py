"""What to do next for a volume of a CSI driver. Pure.

The whole life: made once by the driver; a publication for each node whose tasks need it, which waits, is attached by
the driver's controller, is READY for the node, is withdrawn when the last task has ended, and is detached when the node
says that it has let go; deleted at the end. The invariants, which the tests hold it to:

- Whatever a driver may have done is in the record before the driver is asked, so after a crash the same call is made
  again, which the interface makes idempotent, and nothing is forgotten.
- A volume for one node at a time has at most one publication that is more than waiting.
- A publication that was READY ends only when its node has said so, under its number, or was removed from the cluster.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from manager.volume_keeper.facts import Facts, Place
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    MULTI_NODE_READER_ONLY,
    Volume,
    VolumePublication,
    VolumeSpec,
    VolumeStatus,
)

WAITING, ATTACHING = VolumePublication.WAITING, VolumePublication.ATTACHING
READY, WITHDRAWN = VolumePublication.READY, VolumePublication.WITHDRAWN


class Method(Enum):
    """Of a driver's controller; the value is for the user."""

    CREATE = "made"
    DELETE = "deleted"
    ATTACH = "attached"
    DETACH = "detached"


@dataclass(frozen=True)
class Write:
    """Commit this."""

    status: VolumeStatus


@dataclass(frozen=True)
class Call:
    """Commit this, then ask the driver's controller.

    Attributes:
        node_id: of ATTACH and DETACH.
    """

    method: Method
    status: VolumeStatus
    node_id: str = ""


def is_single_node(spec: VolumeSpec) -> bool:
    """Whether it can be used on one node at a time."""
    return spec.access_mode not in (MULTI_NODE_READER_ONLY, MULTI_NODE_MULTI_WRITER)


def next_steps(facts: Facts) -> list[Write | Call]:
    """What there is to do: one thing to write, or calls of which any may be made first."""
    status = copy_of(facts.status) if facts.status is not None else VolumeStatus(volume_id=facts.volume.meta.id)
    if status.deleted:
        return []
    if facts.volume.forced and facts.volume.removing and not facts.wanted:
        return [Write(VolumeStatus(volume_id=status.volume_id, deleted=True))]
    if not status.driver_volume_id:
        return _make(facts, status)
    publications = list(_publications(facts, status))
    if publications != list(status.publications):
        return [Write(_with(status, publications))]
    if facts.volume.removing and not publications:
        return [_delete(facts, status)]
    return [Call(method, status, each.node_id) for each in publications if (method := _due(facts, each)) is not None]


def _make(facts: Facts, status: VolumeStatus) -> list[Write | Call]:
    if facts.volume.removing and not status.uncertain:
        status.deleted = True
        return [Write(status)]
    if not facts.driver.known:
        return _tell(status, f"no node has driver {facts.volume.spec.driver} any more")
    if not facts.driver.creates:
        # Volumes that are there already, under their own names.
        status.driver_volume_id, status.problem = facts.volume.spec.name, ""
        status.context.update(facts.volume.spec.options)
        return [Write(status)]
    status.uncertain = True
    return [Call(Method.CREATE, status)]


def _delete(facts: Facts, status: VolumeStatus) -> Write | Call:
    if facts.driver.known and not facts.driver.creates:
        status.deleted = True
        return Write(status)
    return Call(Method.DELETE, status)


def _tell(status: VolumeStatus, problem: str) -> list[Write | Call]:
    if status.problem == problem:
        return []
    status.problem = problem
    return [Write(status)]


def _publications(facts: Facts, status: VolumeStatus) -> Iterator[VolumePublication]:
    """As they are to be, as far as that needs no call: all that go on, and then the new ones."""
    kept = [moved for each in status.publications if (moved := _moved(facts, each)) is not None]
    number = status.last_number
    for node_id in sorted(facts.wanted - {each.node_id for each in kept}):
        number += 1
        kept.append(VolumePublication(node_id=node_id, number=number, state=WAITING))
    busy = next((each for each in kept if each.state != WAITING), None) if is_single_node(facts.volume.spec) else None
    for each in kept:
        if each.state == WAITING:
            each = _let_in(facts, each, busy)
            if each.state != WAITING and is_single_node(facts.volume.spec):
                busy = each
        yield each


def _moved(facts: Facts, old: VolumePublication) -> VolumePublication | None:
    wanted, there = old.node_id in facts.wanted, old.node_id in facts.places
    if old.state in (WAITING, ATTACHING) and not wanted and not old.attached:
        return None
    if old.state == WITHDRAWN and not old.attached and _let_go(facts, old):
        return None
    new = VolumePublication()
    new.CopyFrom(old)
    if old.state == READY and not wanted:
        new.state, new.problem = WITHDRAWN, ""
    if new.state == WITHDRAWN and there and not _let_go(facts, new):
        new.problem = _why_held(facts.places[new.node_id])
    return new


def _let_in(facts: Facts, waiting: VolumePublication, busy: VolumePublication | None) -> VolumePublication:
    """A waiting publication, on its way if nothing is in the way."""
    new = VolumePublication()
    new.CopyFrom(waiting)
    place = facts.places.get(waiting.node_id)
    if busy is not None:
        new.problem = _why_busy(facts, busy)
    elif place is None or not place.driver_node_id:
        new.problem = f"the node has no driver {facts.volume.spec.driver}"
    else:
        new.state, new.problem = (ATTACHING if facts.driver.attaches else READY), ""
        new.driver_node_id, new.attached = place.driver_node_id, facts.driver.attaches
    return new


def _due(facts: Facts, publication: VolumePublication) -> Method | None:
    if publication.state == ATTACHING:
        return Method.ATTACH if publication.node_id in facts.wanted else Method.DETACH
    if publication.state == WITHDRAWN and _let_go(facts, publication):
        return Method.DETACH
    return None


def _let_go(facts: Facts, publication: VolumePublication) -> bool:
    """Whether the node has nothing of it any more; one that was removed is the user's word that it is so."""
    place = facts.places.get(publication.node_id)
    return place is None or (place.held.released and place.held.number == publication.number)


def _why_held(place: Place) -> str:
    if place.down:
        name = place.hostname
        return f"node {name} is down and may have it still; `shoal node rm --force {name}` gives it up"
    return place.held.problem


def _why_busy(facts: Facts, busy: VolumePublication) -> str:
    """Why a volume for one node at a time cannot go to another one."""
    place = facts.places.get(busy.node_id)
    if place is None:
        return "it is being detached from a node that was removed"
    if place.down:
        return _why_held(place)
    if busy.state == WITHDRAWN and busy.problem:
        return f"node {place.hostname} has not let go of it: {busy.problem}"
    return f"it is in use on node {place.hostname}"


def _with(status: VolumeStatus, publications: Iterable[VolumePublication]) -> VolumeStatus:
    new = copy_of(status)
    del new.publications[:]
    new.publications.extend(publications)
    new.last_number = max([status.last_number, *(each.number for each in new.publications)])
    return new


def copy_of(status: VolumeStatus) -> VolumeStatus:
    """One to be changed; records are not."""
    new = VolumeStatus()
    new.CopyFrom(status)
    return new


def needs_keeper(volume: Volume) -> bool:
    """Whether it is of a driver."""
    return volume.spec.driver not in ("", "local")
