"""Volumes of a stack: made with it, never removed with it: data outlives what used it. Pure."""

from collections.abc import Sequence

from manager.control_api import volume_uses
from manager.control_api.lookup import volume_named
from manager.control_api.stack_plan import Planned
from manager.control_api.transactions import Step
from manager.control_api.validate_volumes import check_volume
from manager.control_api.volume_drivers import known_drivers
from manager.store.tables import View
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse
from shoal.api.v1.volume_pb2 import Volume, VolumeSpec
from shoal.errors import Fault
from shoal.ids import NewId


def plan_volumes(
    view: View, request: DeployStackRequest, new_id: NewId, now_ms: int
) -> tuple[list[Planned], dict[str, Volume], list[Fault]]:
    """Changes, the volumes by name as the services are to find them, and faults, with which nothing may be used."""
    planned: list[Planned] = []
    coming: dict[str, Volume] = {}
    faults: list[Fault] = []
    for sent in request.volumes:
        spec = volume_spec(sent, request.stack)
        present = volume_named(view, spec.name)
        found = _faults(view, spec, present, request.stack, coming)
        path = f"volumes.{spec.name.removeprefix(f'{request.stack}_')}"
        faults += [Fault(f"{path}.{fault.path}", fault.message) for fault in found]
        if found:
            continue
        coming[spec.name] = volume = present or volume_uses.made(new_id(), spec, now_ms)
        step = None if present is not None else Step(*volume_uses.creation(volume))
        action = "unchanged" if present is not None else "create"
        change = DeployStackResponse.Change(kind="volume", name=spec.name, action=action, id=volume.meta.id)
        planned.append(Planned(change, step))
    return planned, coming, faults


def volume_spec(sent: VolumeSpec, stack: str) -> VolumeSpec:
    """The volume under its full name; one that names its stack itself has a name of the user's own choice."""
    spec = VolumeSpec()
    spec.CopyFrom(sent)
    spec.name = sent.name if sent.stack or sent.name.startswith(f"{stack}_") else f"{stack}_{sent.name}"
    spec.driver, spec.stack = sent.driver or "local", stack
    return spec


def _faults(
    view: View, spec: VolumeSpec, present: Volume | None, stack: str, coming: dict[str, Volume]
) -> Sequence[Fault]:
    faults = list(check_volume(spec, known_drivers(view)))
    if spec.name in coming:
        faults.append(Fault("name", f'"{spec.name}" is there twice'))
    if present is None:
        return faults
    if present.removing:
        faults.append(Fault("name", f'volume "{spec.name}" is being removed'))
    elif present.spec.stack != stack:
        faults.append(Fault("name", f'a volume "{spec.name}" exists already and is not of this stack'))
    elif present.spec.driver != spec.driver:
        faults.append(Fault("driver", "cannot be changed while the volume exists; remove the volume first"))
    elif present.spec.options != spec.options:
        faults.append(Fault("options", "cannot be changed while the volume exists; remove the volume first"))
    return faults
