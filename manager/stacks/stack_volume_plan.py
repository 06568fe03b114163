"""Volumes of a stack: created with it, never removed with it. Pure."""

from collections.abc import Sequence

from manager.records.object_lookup import SubmittedFiles, volume_named
from manager.records.write_groups import WriteGroup
from manager.stacks.stack_plan import PlannedChange
from manager.store.changes import expect, put
from manager.store.kinds import VOLUME
from manager.store.tables import View
from manager.validation.volume_rules import check_volume
from manager.volumes import volume_references, volume_secret_references
from manager.volumes.volume_drivers import known_drivers
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse
from shoal.api.v1.volume_pb2 import SINGLE_NODE_WRITER, Volume, VolumeSpec
from shoal.errors import Fault
from shoal.ids import NewId

IMMUTABLE_FIELDS = ("driver", "options", "size_bytes", "limit_bytes", "secrets")
"""Fields of a volume's spec that stay as they are while it exists; the access mode too."""


def plan_volumes(
    view: View, request: DeployStackRequest, files: SubmittedFiles, new_id: NewId, now_ms: int
) -> tuple[list[PlannedChange], dict[str, Volume], list[Fault]]:
    """Changes, the volumes by name as the services refer to them, and faults. With faults, nothing of it may be used.

    Args:
        files: as the request creates or changes them.
    """
    planned: list[PlannedChange] = []
    submitted: dict[str, Volume] = {}
    faults: list[Fault] = []
    for spec in request.volumes:
        present = volume_named(view, spec.name)
        found = [
            *volume_secret_references.resolve(spec, view, files),
            *_faults(view, spec, present),
        ]
        path = f"volumes.{spec.name}"
        faults += [Fault(f"{path}.{fault.path}", fault.message) for fault in found]
        if found:
            continue
        if present is None:
            volume = volume_references.new_volume(new_id(), spec, now_ms)
            (writes, expects), (touched, there) = (
                volume_references.creation(volume),
                volume_secret_references.touch(view, spec, files),
            )
            planned.append(
                PlannedChange(_change("create", volume), WriteGroup([*writes, *touched], [*expects, *there]))
            )
        elif present.spec.labels != spec.labels:
            volume = _relabelled(present, spec, now_ms)
            step = WriteGroup(
                [put(VOLUME, volume.meta.id, volume)], [expect(VOLUME, volume.meta.id, present.meta.version)]
            )
            planned.append(PlannedChange(_change("update", volume), step))
        else:
            volume = present
            planned.append(PlannedChange(_change("unchanged", volume), None))
        submitted[spec.name] = volume
    return planned, submitted, faults


def _relabelled(present: Volume, spec: VolumeSpec, now_ms: int) -> Volume:
    """Only the labels of a volume may change."""
    volume = Volume()
    volume.CopyFrom(present)
    volume.spec.labels.clear()
    volume.spec.labels.update(spec.labels)
    volume.meta.updated_at_ms = now_ms
    return volume


def _change(action: str, volume: Volume) -> DeployStackResponse.Change:
    return DeployStackResponse.Change(kind="volume", name=volume.spec.name, action=action, id=volume.meta.id)


def _faults(view: View, spec: VolumeSpec, present: Volume | None) -> Sequence[Fault]:
    faults = list(check_volume(spec, known_drivers(view)))
    if present is None:
        return faults
    if present.removing:
        faults.append(Fault("name", f'volume "{spec.name}" is being removed'))
    elif present.spec.stack != spec.stack:
        faults.append(Fault("name", f'volume "{spec.name}" already exists and does not belong to this stack'))
    else:
        fixed = [name for name in IMMUTABLE_FIELDS if getattr(present.spec, name) != getattr(spec, name)]
        if (present.spec.access_mode or SINGLE_NODE_WRITER) != (spec.access_mode or SINGLE_NODE_WRITER):
            fixed.append("access_mode")
        faults += [Fault(name, "cannot be changed while the volume exists; remove the volume first") for name in fixed]
    return faults
