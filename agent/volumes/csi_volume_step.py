"""Decides the next step for one CSI volume on this node. Pure; called again after each event.

The record on disk is written before the first mount call to the driver and removed after the last unmount, so every
volume that may be mounted has one; every call to a driver may be repeated. The tests check these invariants: nothing is
mounted without READY from the managers and the required secrets; nothing is unmounted while a container uses it; a
volume that is reported as released is released, and stays so under that publication number.
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
    """Release it as soon as no container uses it."""
    IDLE = auto()
    """Wait for another assignment."""


@dataclass(frozen=True)
class CsiVolumeFacts:
    """Input of the decision.

    Attributes:
        assigned: the managers' assignment; None: not assigned.
        has_snapshot: a snapshot was received since this agent started.
        record: what may be mounted, as recorded on disk.
        mounted: the driver has confirmed to this process that the recorded volume is mounted.
        in_use: containers use it.
        has_secrets: the driver's secrets have been received.
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
    """Whether a container may mount it now."""
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
    """The report for managers; None if there is nothing to report."""
    if facts.assigned is None and facts.record is None:
        return None
    latest = facts.assigned if facts.assigned is not None else facts.record
    assert latest is not None
    releasing = facts.assigned is not None and facts.assigned.state == VolumePublication.RELEASING
    return NodePublication(
        volume_id=volume_id,
        number=latest.publication_number,
        released=releasing and facts.record is None,
        mounted=facts.mounted,
        problem=problem,
    )
