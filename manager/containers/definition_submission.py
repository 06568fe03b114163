"""Submission of a container's definition: validated, references put as ids, the image's tag as a digest."""

from dataclasses import dataclass, field

from manager.containers import container_records
from manager.containers.container_sharing import resolve_sharing
from manager.containers.container_volumes import ANONYMOUS_LABEL
from manager.interfaces import ImageResolver
from manager.networks import network_references, routing_mesh
from manager.records.object_lookup import find_container, find_node
from manager.services.spec_submission import ResolveImage, pin_image
from manager.store.changes import Expect, Write
from manager.store.tables import View
from manager.validation.runtime_rules import check_runtime
from manager.validation.standalone_rules import check_definition
from manager.volumes import volume_references
from manager.volumes.volume_drivers import complete_mount
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition
from shoal.api.v1.volume_pb2 import Volume, VolumeSpec
from shoal.container_ids import container_id
from shoal.errors import Fault, ShoalError
from shoal.ids import NewId

PUBLISH_LABEL = "shoal.publish"
"""A label with the value "node" has a container's ports published on its own node alone; Docker has no flag for it."""


@dataclass
class SubmittedDefinition:
    """A definition that is ready to be stored, or why it is not.

    Attributes:
        faults: empty when it may be stored.
        warnings: for the user, one line each.
        writes, expects: of the volumes that are made with the container.
    """

    definition: ContainerDefinition
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    expects: list[Expect] = field(default_factory=list)


async def prepare_definition(
    definition: ContainerDefinition, *, node: str, view: View, images: ImageResolver | None, new_id: NewId, now_ms: int
) -> SubmittedDefinition:
    """Validate and complete a definition.

    Args:
        node: hostname or id of the node where it has to be; empty: any.
        images: resolves the tag; None keeps it.
    """
    found = SubmittedDefinition(ContainerDefinition())
    found.definition.CopyFrom(definition)
    _resolve_containers(found, node, view)
    if found.definition.labels.get(PUBLISH_LABEL) == "node":
        found.definition.publish_on_node = True
    spec = _as_service(found.definition)
    found.faults += check_definition(found.definition, spec)
    for fault in (
        *network_references.resolve(spec, view, {}),
        *routing_mesh.internal_only_faults(view, spec, {}),
        *volume_references.resolve(spec, view, {}),
        *check_runtime("task.container.runtime", spec.task.container.runtime, view),
    ):
        found.faults.append(Fault(fault.path.removeprefix("endpoint."), fault.message))
    image_faults, warnings = await pin_image(spec, images, None, ResolveImage.ALWAYS)
    found.faults += image_faults
    found.warnings += warnings
    if not found.faults:
        _make_volumes(found, spec, new_id, now_ms)
    found.definition.task.CopyFrom(spec.task)
    return found


def _as_service(definition: ContainerDefinition) -> ServiceSpec:
    """As `container_records.spec_of`, but with the task as it was submitted."""
    of_none = Container(definition=definition)
    of_none.meta.id = "0" * 13
    spec = container_records.spec_of(of_none)
    spec.task.CopyFrom(definition.task)
    return spec


def _resolve_containers(found: SubmittedDefinition, node: str, view: View) -> None:
    """Nodes and other containers that the definition names."""
    definition = found.definition
    if node or definition.node_id:
        try:
            definition.node_id = find_node(view, node or definition.node_id).meta.id
        except ShoalError as error:
            found.faults.append(Fault("node", str(error)))
    references = [*definition.beside]
    del definition.beside[:]
    for index, reference in enumerate(references):
        try:
            definition.beside.append(find_container(view, reference).meta.id)
        except ShoalError as error:
            path = f"beside[{index}]"  # retired word: the field's name
            found.faults.append(Fault(path, str(error)))
    found.faults += resolve_sharing(definition, view)


def _make_volumes(found: SubmittedDefinition, spec: ServiceSpec, new_id: NewId, now_ms: int) -> None:
    """Volumes that do not exist yet: those that are named, and one for each mount without a name."""
    made: dict[str, Volume] = {}
    for mount, volume_spec in [*volume_references.volumes_to_create(spec)]:
        if volume_spec.name not in made:
            made[volume_spec.name] = _make_volume(found, volume_spec, new_id(), now_ms)
        complete_mount(mount, made[volume_spec.name])
    for mount in spec.task.container.mounts:
        if mount.type == Mount.VOLUME and not mount.source:
            identifier = new_id()
            labels = {**mount.volume.labels, ANONYMOUS_LABEL: ""}
            driver = mount.volume.driver or "local"
            volume_spec = VolumeSpec(name=container_id(identifier), driver=driver, labels=labels)
            complete_mount(mount, _make_volume(found, volume_spec, identifier, now_ms))


def _make_volume(found: SubmittedDefinition, volume_spec: VolumeSpec, identifier: str, now_ms: int) -> Volume:
    volume = volume_references.new_volume(identifier, volume_spec, now_ms)
    writes, expects = volume_references.creation(volume)
    found.writes += writes
    found.expects += expects
    return volume
