"""What to do next for one volume of a driver on this node: a pure function, asked again after whatever happens.

The record on disk is written before the driver is asked for the first mount and removed after the last unmount, so
whatever may be mounted has one; every call to a driver may be repeated. The invariants, which the tests hold it to:
nothing is mounted without the managers' READY and the secrets that they name; nothing is unmounted while a container
has it; the word that a volume is released is true, and stays so under that number.
"""

from dataclasses import dataclass
from enum import Enum, auto

from shoal.api.v1.dispatcher_pb2 import VolumeAttachment
from shoal.api.v1.volume_pb2 import NodePublication, VolumePublication


class CsiVolumeStep(Enum):
    """The next step."""

    MOUNT = auto()
    RELEASE = auto()
    WAIT_UNUSED = auto()
    """To be released as soon as no container has it."""
    IDLE = auto()
    """Until the managers say something else."""


@dataclass(frozen=True)
class CsiVolumeFacts:
    """All that the decision rests on.

    Attributes:
        assigned: what managers say; None when they say nothing of it.
        has_snapshot: managers have told all that they know since this agent started.
        record: what may be mounted here, as the disk has it.
        mounted: the driver has confirmed, to this process, that the record's is mounted.
        in_use: containers have it.
        has_secrets: the secrets that its driver is to be given have come.
    """

    assigned: VolumeAttachment | None
    has_snapshot: bool
    record: VolumeAttachment | None
    mounted: bool
    in_use: bool
    has_secrets: bool = True


def next_step(facts: CsiVolumeFacts) -> CsiVolumeStep:
    """The next step for a volume."""
    assigned, record = facts.assigned, facts.record
    if assigned is None and not facts.has_snapshot:
        return CsiVolumeStep.IDLE
    if assigned is not None and assigned.state == VolumePublication.READY:
        if record is None or (record.publication_number == assigned.publication_number and not facts.mounted):
            return CsiVolumeStep.MOUNT if facts.has_secrets else CsiVolumeStep.IDLE
        if record.publication_number == assigned.publication_number:
            return CsiVolumeStep.IDLE
    if record is None:
        return CsiVolumeStep.IDLE
    return CsiVolumeStep.WAIT_UNUSED if facts.in_use else CsiVolumeStep.RELEASE


def is_usable(facts: CsiVolumeFacts) -> bool:
    """Whether a container may be given it now."""
    assigned, record = facts.assigned, facts.record
    ready = assigned is not None and assigned.state == VolumePublication.READY
    return (
        ready
        and facts.mounted
        and record is not None
        and assigned is not None
        and record.publication_number == assigned.publication_number
    )


def publication_of(facts: CsiVolumeFacts, volume_id: str, problem: str) -> NodePublication | None:
    """What managers are told; None when there is nothing to tell."""
    if facts.assigned is None and facts.record is None:
        return None
    latest = facts.assigned if facts.assigned is not None else facts.record
    assert latest is not None
    withdrawn = facts.assigned is not None and facts.assigned.state == VolumePublication.RELEASING
    return NodePublication(
        volume_id=volume_id,
        number=latest.publication_number,
        released=withdrawn and facts.record is None,
        mounted=facts.mounted,
        problem=problem,
    )
