"""References from services to volumes: mounts resolved, missing volumes created. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from manager.interfaces import NowMs
from manager.planner.spec.mount_rules import describe_first, is_exclusive
from manager.records import name_records
from manager.records.object_lookup import find_volume, volume_named
from manager.store.changes import Expect, Write, expect, put
from manager.store.kinds import NAME, VOLUME
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.text_rules import check_object_name
from manager.validation.volume_rules import check_driver
from manager.volumes.volume_drivers import complete_mount, is_csi, known_drivers
from manager.volumes.volume_homes import home_of
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig
from shoal.api.v1.volume_pb2 import Volume, VolumeSpec
from shoal.errors import Fault, NotFound, Refused, ShoalError
from shoal.ids import NewId
from shoal.task_states import is_live, should_run

_PER_SLOT = re.compile(r"(.+)-\{\{\s*\.Task\.Slot\s*\}\}")

SubmittedVolumes = Mapping[str, Volume]
"""Volumes that the request creates, by name."""


def volume_mounts(container: ContainerSpec) -> Iterator[tuple[int, Mount]]:
    """The mounts of volumes that have a name, with their positions in the list; others belong to a single container."""
    for index, mount in enumerate(container.mounts):
        if mount.type == Mount.VOLUME and mount.source:
            yield index, mount


def resolve(spec: ServiceSpec, view: View, submitted: SubmittedVolumes) -> list[Fault]:
    """Complete every mount of a volume with ID, name and options. A missing volume is created with the service."""
    faults: list[Fault] = []
    drivers = known_drivers(view)
    for index, mount in volume_mounts(spec.task.container):
        if match := _PER_SLOT.fullmatch(mount.source):
            mount.source, mount.volume.per_slot = match[1], True
        try:
            _resolve(mount, view, submitted)
            mount.volume.inheriting_slot = _whole_slot(spec, mount, view)
        except ShoalError as error:
            faults.append(Fault(f"task.container.mounts[{index}].source", str(error)))
    for mount, new_spec in volumes_to_create(spec):
        path = f"task.container.mounts[{list(spec.task.container.mounts).index(mount)}]"
        named = check_object_name("", new_spec.name, spec.stack if new_spec.name.startswith(f"{spec.stack}_") else "")
        faults += [Fault(f"{path}.source", fault.message) for fault in named]
        faults += check_driver(f"{path}.volume.driver", new_spec.driver, drivers)
        if is_csi(new_spec) and mount.volume.per_slot:
            faults.append(Fault(f"{path}.volume.per_slot", "per-slot volumes are supported by the local driver only"))
    return faults


def _resolve(mount: Mount, view: View, submitted: SubmittedVolumes) -> None:
    must_exist, mount.volume.external = mount.volume.external, False
    volume = submitted.get(mount.source) or next((v for v in submitted.values() if v.meta.id == mount.source), None)
    if volume is None:
        try:
            volume = find_volume(view, mount.source)
        except NotFound:
            if must_exist:
                raise
            mount.volume.name = mount.source
            return  # see `volumes_to_create`
        if volume.removing:
            raise Refused(f'volume "{volume.spec.name}" is being removed')
    complete_mount(mount, volume)


def _whole_slot(spec: ServiceSpec, mount: Mount, view: View) -> int:
    """The slot that inherits the data from before the volume became per-slot; 0 when none does.

    It does so for as long as the service mounts the volume like this.
    """
    volume = view.volumes.get(mount.source)
    if volume is None or not mount.volume.per_slot:
        return 0
    service = view.service_named(spec.name)
    known = volume_mounts(service.spec.task.container) if service is not None else ()
    for _, present in known:
        if present.source == mount.source and present.volume.per_slot:
            return present.volume.inheriting_slot
    tasks = view.tasks_of(service.meta.id).values() if service is not None else ()
    slots = {task.slot for task in tasks if should_run(task)}
    slot = slots.pop() if len(slots) == 1 else 1
    parts = _slots_with_data(view, volume)
    return slot if 0 in parts and slot not in parts and _has_one_copy(view, volume) else 0


def whole_slots(view: View, volume_id: str) -> set[int]:
    """Slots that have inherited the whole data of the volume."""
    specs = (service.spec for service in view.services.values())
    mounts = (mount for spec in specs for _, mount in volume_mounts(spec.task.container))
    return {mount.volume.inheriting_slot for mount in mounts if mount.source == volume_id} - {0}


def _has_one_copy(view: View, volume: Volume) -> bool:
    """Whether there is one copy of the volume's whole data, rather than one per node."""
    if home_of(view, volume, 0):
        return True
    reports = view.node_volumes.values()
    held = [each for report in reports for each in report.volumes if each.volume_id == volume.meta.id and not each.slot]
    return len(held) == 1


def slot_faults(spec: ServiceSpec, view: View) -> Iterator[Fault]:
    """Changes to or from per-slot that would hide existing data: tasks would start with an empty volume."""
    present = view.service_named(spec.name)
    known = volume_mounts(present.spec.task.container) if present is not None else ()
    unchanged = {(mount.source, mount.volume.per_slot) for _, mount in known}
    for index, mount in volume_mounts(spec.task.container):
        volume = view.volumes.get(mount.source)
        if volume is None or (mount.source, mount.volume.per_slot) in unchanged:
            continue
        parts = _slots_with_data(view, volume)
        has_slots, has_whole = any(parts), 0 in parts
        path, name = f"task.container.mounts[{index}].volume.per_slot", volume.spec.name
        if mount.volume.per_slot and has_whole and not has_slots and not mount.volume.inheriting_slot:
            yield Fault(path, _SEVERAL_NODES.format(name=name))
        elif not mount.volume.per_slot and has_slots and not has_whole:
            yield Fault(path, _SINGLE_SLOTS.format(name=name))


_SEVERAL_NODES = (
    "volume {name} has data on several nodes; per-slot tasks would "
    "start with an empty volume; scale the service to 1 first (`shoal "
    "service scale`) to keep the data of its node, or use another volume"
)
_SINGLE_SLOTS = (
    "volume {name} has per-slot data; a task would start with an empty volume; "
    "use another volume, and copy the data of slot 1 to it: `shoal service create "
    "--restart-condition none --mount 'source={name}-{{{{.Task.Slot}}}},target=/from,readonly' "
    "--mount source=NEW,target=/to IMAGE cp -a /from/. /to`"
)


def _slots_with_data(view: View, volume: Volume) -> set[int]:
    """Slots with data; 0 for data that belongs to no slot."""
    below = f"{volume.meta.id}/"
    written = {place.slot for key, place in view.volume_homes.items() if key.startswith(below)}
    reports = view.node_volumes.values()
    return written | {held.slot for report in reports for held in report.volumes if held.volume_id == volume.meta.id}


def volumes_to_create(spec: ServiceSpec) -> Iterator[tuple[Mount, VolumeSpec]]:
    """Mounts of a validated spec whose volume does not exist yet, with its spec; in these, ID and name are equal."""
    for _, mount in volume_mounts(spec.task.container):
        if mount.source == mount.volume.name:
            use = mount.volume
            driver = use.driver or "local"
            yield (
                mount,
                VolumeSpec(name=mount.source, driver=driver, options=use.options, labels=use.labels, stack=spec.stack),
            )


def set_defaults(spec: VolumeSpec) -> None:
    """The driver that a volume without one means."""
    spec.driver = spec.driver or "local"


def new_volume(identifier: str, spec: VolumeSpec, now_ms: int) -> Volume:
    """A new volume."""
    volume = Volume(spec=spec)
    set_defaults(volume.spec)
    volume.meta.id = identifier
    volume.meta.created_at_ms = volume.meta.updated_at_ms = now_ms
    return volume


async def create_missing(store: RecordStore, specs: Iterable[ServiceSpec], new_id: NewId, now_ms: NowMs) -> None:
    """Create the missing volumes of validated specs, and put their IDs into the specs.

    Raises:
        Conflict: another manager created or removed one at the same time; retry.
    """
    for spec in specs:
        for mount, spec_to_create in volumes_to_create(spec):
            present = volume_named(store.tables, spec_to_create.name)
            if present is None:
                present = new_volume(new_id(), spec_to_create, now_ms())
                writes, expects = creation(present)
                await store.commit(writes, expects=expects)
            complete_mount(mount, present)


def creation(volume: Volume) -> tuple[list[Write], list[Expect]]:
    """Writes and conditions of a new volume."""
    name, free = name_records.claim("volume", volume.spec.name, volume.meta.id)
    return [put(VOLUME, volume.meta.id, volume), name], [free]


def touch(view: View, spec: ServiceSpec, previous: ServiceSpec | None = None) -> tuple[list[Write], list[Expect]]:
    """Touch the name records of volumes that a service starts using, so that a removal that has not seen it fails."""
    before = {mount.source for _, mount in volume_mounts(previous.task.container)} if previous is not None else set()
    new = {mount.source for _, mount in volume_mounts(spec.task.container)} - before
    volumes = [view.volumes[identifier] for identifier in sorted(new) if identifier in view.volumes]
    writes = [put(NAME, f"volume/{volume.spec.name}", Name(meta=Meta(id=volume.meta.id))) for volume in volumes]
    return writes, [expect(VOLUME, volume.meta.id, volume.meta.version) for volume in volumes]


def users(view: View) -> Mapping[str, Sequence[str]]:
    """Names of the services that use a volume, and `container NAME`, by the volume's ID."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for service in view.services.values():
        for _, mount in volume_mounts(service.spec.task.container):
            found[mount.source].add(service.spec.name)
    for container in view.containers.values():
        for _, mount in volume_mounts(container.definition.task.container):
            found[mount.source].add(f"container {container.name}")
    return {identifier: sorted(services) for identifier, services in found.items()}


def used_by_live_tasks(view: View) -> frozenset[str]:
    """IDs of volumes that a live task mounts."""
    revisions = {
        f"{task.service_id}/{task.revision}"
        for task in view.tasks.values()
        if is_live(task, view.task_status.get(task.id))
    }
    specs = (view.revisions[key].spec for key in revisions if key in view.revisions)
    return frozenset(mount.source for spec in specs for _, mount in volume_mounts(spec.task.container))


def warnings(spec: ServiceSpec) -> Iterator[str]:
    """What may be unexpected: start-first has no effect, or each node has its own data."""
    mounts = [mount for _, mount in volume_mounts(spec.task.container)]
    if spec.update.order == UpdateConfig.START_FIRST:
        what = describe_first(mount for mount in spec.task.container.mounts if is_exclusive(mount))
        if what:
            yield (
                f"{what} can be used by one task at a time, so each task stops before its "
                "replacement starts; if several tasks may write at once, set shared=true on the mount"
            )
    if spec.WhichOneof("mode") == "replicated" and spec.replicated.replicas < 2:
        return
    csi_volumes = {
        new.name for _, new in volumes_to_create(spec) if is_csi(new)
    }  # for a single node, unless its access mode says otherwise
    for name in sorted(csi_volumes.union(mount.volume.name for mount in mounts if mount.volume.single_node)):
        yield f"volume {name} can be used on one node at a time; all tasks run there"
    own = (mount for mount in mounts if not (mount.volume.per_slot or mount.volume.options or mount.volume.driver))
    for name in sorted({mount.volume.name for mount in own}):
        yield f"volume {name} is local; each node has its own data"
