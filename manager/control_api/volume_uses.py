"""Which services and tasks use which volume, and how the mounts of a spec come to name it. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from manager.control_api import names
from manager.control_api.lookup import find_volume, volume_named
from manager.control_api.seams import NowMs, Records
from manager.control_api.text_rules import check_object_name
from manager.control_api.validate_volumes import check_driver
from manager.control_api.volume_drivers import is_driven, known_drivers, settle
from manager.control_api.volume_homes import home_of
from manager.planner.mount_rules import first_name, is_exclusive
from manager.store.changes import Expect, Write, expect, put
from manager.store.kinds import NAME, VOLUME
from manager.store.tables import View
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig
from shoal.api.v1.volume_pb2 import Volume, VolumeSpec
from shoal.errors import Fault, NotFound, Refused, ShoalError
from shoal.ids import NewId
from shoal.task_states import is_live, is_wanted

_PER_SLOT = re.compile(r"(.+)-\{\{\s*\.Task\.Slot\s*\}\}")

Coming = Mapping[str, Volume]
"""Volumes that the same call makes, by name."""


def volume_mounts(container: ContainerSpec) -> Iterator[tuple[int, Mount]]:
    """The mounts of volumes that have a name, with their places in the list; the others are each container's own."""
    for index, mount in enumerate(container.mounts):
        if mount.type == Mount.VOLUME and mount.source:
            yield index, mount


def resolve(spec: ServiceSpec, view: View, coming: Coming) -> list[Fault]:
    """Puts id, name and options into every mount of a volume. One that is not there is made with the service."""
    faults: list[Fault] = []
    drivers = known_drivers(view)
    for index, mount in volume_mounts(spec.task.container):
        if match := _PER_SLOT.fullmatch(mount.source):
            mount.source, mount.volume.per_slot = match[1], True
        try:
            _resolve(mount, view, coming)
            mount.volume.whole_slot = _whole_slot(spec, mount, view)
        except ShoalError as error:
            faults.append(Fault(f"task.container.mounts[{index}].source", str(error)))
    for mount, wanted in missing(spec):
        path = f"task.container.mounts[{list(spec.task.container.mounts).index(mount)}]"
        named = check_object_name("", wanted.name, spec.stack if wanted.name.startswith(f"{spec.stack}_") else "")
        faults += [Fault(f"{path}.source", fault.message) for fault in named]
        faults += check_driver(f"{path}.volume.driver", wanted.driver, drivers)
        if is_driven(wanted) and mount.volume.per_slot:
            faults.append(Fault(f"{path}.volume.per_slot", "a volume for each slot is for the local driver alone"))
    return faults


def _resolve(mount: Mount, view: View, coming: Coming) -> None:
    must_exist, mount.volume.external = mount.volume.external, False
    volume = coming.get(mount.source) or next((v for v in coming.values() if v.meta.id == mount.source), None)
    if volume is None:
        try:
            volume = find_volume(view, mount.source)
        except NotFound:
            if must_exist:
                raise
            mount.volume.name = mount.source
            return  # see `missing`
        if volume.removing:
            raise Refused(f'volume "{volume.spec.name}" is being removed')
    settle(mount, volume)


def _whole_slot(spec: ServiceSpec, mount: Mount, view: View) -> int:
    """The slot that goes on with what the volume held before it was there for each slot; 0 when none does.

    It does so for as long as the service mounts the volume like this.
    """
    volume = view.volumes.get(mount.source)
    if volume is None or not mount.volume.per_slot:
        return 0
    service = view.service_named(spec.name)
    known = volume_mounts(service.spec.task.container) if service is not None else ()
    for _, present in known:
        if present.source == mount.source and present.volume.per_slot:
            return present.volume.whole_slot
    tasks = view.tasks_of(service.meta.id).values() if service is not None else ()
    slots = {task.slot for task in tasks if is_wanted(task)}
    slot = slots.pop() if len(slots) == 1 else 1
    parts = _parts(view, volume)
    return slot if 0 in parts and slot not in parts and _is_in_one_place(view, volume) else 0


def whole_slots(view: View, volume_id: str) -> set[int]:
    """Slots that have the volume's whole data."""
    specs = (service.spec for service in view.services.values())
    mounts = (mount for spec in specs for _, mount in volume_mounts(spec.task.container))
    return {mount.volume.whole_slot for mount in mounts if mount.source == volume_id} - {0}


def _is_in_one_place(view: View, volume: Volume) -> bool:
    """Whether the volume's whole data is that of one task, and not each node's own."""
    if home_of(view, volume, 0):
        return True
    reports = view.node_volumes.values()
    held = [each for report in reports for each in report.volumes if each.volume_id == volume.meta.id and not each.slot]
    return len(held) == 1


def slot_faults(spec: ServiceSpec, view: View) -> Iterator[Fault]:
    """A volume per slot hides no data that several nodes have had, nor the other way round: tasks would start empty."""
    present = view.service_named(spec.name)
    known = volume_mounts(present.spec.task.container) if present is not None else ()
    kept = {(mount.source, mount.volume.per_slot) for _, mount in known}
    for index, mount in volume_mounts(spec.task.container):
        volume = view.volumes.get(mount.source)
        if volume is None or (mount.source, mount.volume.per_slot) in kept:
            continue
        parts = _parts(view, volume)
        has_slots, has_whole = any(parts), 0 in parts
        path, name = f"task.container.mounts[{index}].volume.per_slot", volume.spec.name
        if mount.volume.per_slot and has_whole and not has_slots and not mount.volume.whole_slot:
            yield Fault(path, _SEVERAL.format(name=name))
        elif not mount.volume.per_slot and has_slots and not has_whole:
            yield Fault(path, _OF_SLOTS.format(name=name))


_SEVERAL = (
    "volume {name} holds data of several nodes, which no slot would see: tasks would start with an empty volume; "
    "scale the service to 1 first (`shoal service scale`), and its slot keeps its node's data, or use another volume"
)
_OF_SLOTS = (
    "volume {name} holds data of single slots, which the task would not see: it would start with an empty volume; "
    "use another volume, and copy the data of slot 1 to it: `shoal service create --restart-condition none "
    "--mount 'source={name}-{{{{.Task.Slot}}}},target=/from,readonly' --mount source=NEW,target=/to "
    "IMAGE cp -a /from/. /to`"
)


def _parts(view: View, volume: Volume) -> set[int]:
    """Slots of which there is data; 0 for what is not of one slot."""
    below = f"{volume.meta.id}/"
    written = {place.slot for key, place in view.volume_slots.items() if key.startswith(below)}
    reports = view.node_volumes.values()
    return written | {held.slot for report in reports for held in report.volumes if held.volume_id == volume.meta.id}


def missing(spec: ServiceSpec) -> Iterator[tuple[Mount, VolumeSpec]]:
    """Mounts of an examined spec whose volume is still to be made, with its spec; name and id are the same in it."""
    for _, mount in volume_mounts(spec.task.container):
        if mount.source == mount.volume.name:
            use = mount.volume
            driver = use.driver or "local"
            yield (
                mount,
                VolumeSpec(name=mount.source, driver=driver, options=use.options, labels=use.labels, stack=spec.stack),
            )


def made(identifier: str, spec: VolumeSpec, now_ms: int) -> Volume:
    """A new volume."""
    volume = Volume(spec=spec)
    volume.spec.driver = spec.driver or "local"
    volume.meta.id = identifier
    volume.meta.created_at_ms = volume.meta.updated_at_ms = now_ms
    return volume


async def ensure(store: Records, specs: Iterable[ServiceSpec], new_id: NewId, now_ms: NowMs) -> None:
    """Makes the volumes that examined specs name and that are not there, and puts their ids into the specs.

    Raises:
        Conflict: another manager made or removed one at the same time; again.
    """
    for spec in specs:
        for mount, wanted in missing(spec):
            present = volume_named(store.tables, wanted.name)
            if present is None:
                present = made(new_id(), wanted, now_ms())
                writes, expects = creation(present)
                await store.commit(writes, expects=expects)
            settle(mount, present)


def creation(volume: Volume) -> tuple[list[Write], list[Expect]]:
    """Writes and conditions of a new volume."""
    name, free = names.take("volume", volume.spec.name, volume.meta.id)
    return [put(VOLUME, volume.meta.id, volume), name], [free]


def touch(view: View, spec: ServiceSpec, had: ServiceSpec | None = None) -> tuple[list[Write], list[Expect]]:
    """Touches the names of volumes that a service comes to use, so that a removal that has not seen it fails."""
    before = {mount.source for _, mount in volume_mounts(had.task.container)} if had is not None else set()
    new = {mount.source for _, mount in volume_mounts(spec.task.container)} - before
    volumes = [view.volumes[identifier] for identifier in sorted(new) if identifier in view.volumes]
    writes = [put(NAME, f"volume/{volume.spec.name}", Name(meta=Meta(id=volume.meta.id))) for volume in volumes]
    return writes, [expect(VOLUME, volume.meta.id, volume.meta.version) for volume in volumes]


def users(view: View) -> Mapping[str, Sequence[str]]:
    """Names of the services whose present specs use a volume, by its id."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for service in view.services.values():
        for _, mount in volume_mounts(service.spec.task.container):
            found[mount.source].add(service.spec.name)
    return {identifier: sorted(services) for identifier, services in found.items()}


def in_live_tasks(view: View) -> frozenset[str]:
    """Ids of volumes that a task which has not ended has mounted."""
    revisions = {
        f"{task.service_id}/{task.revision}"
        for task in view.tasks.values()
        if is_live(task, view.task_status.get(task.id))
    }
    specs = (view.revisions[key].spec for key in revisions if key in view.revisions)
    return frozenset(mount.source for spec in specs for _, mount in volume_mounts(spec.task.container))


def warnings(spec: ServiceSpec) -> Iterator[str]:
    """What may surprise: start-first is not in force, and each node has data of its own."""
    mounts = [mount for _, mount in volume_mounts(spec.task.container)]
    if spec.update.order == UpdateConfig.START_FIRST:
        what = first_name(mount for mount in spec.task.container.mounts if is_exclusive(mount))
        if what:
            yield (
                f"{what} is for one task at a time, so each task is stopped before its successor starts; "
                "set shared=true on the mount if several tasks may write at once"
            )
    if spec.WhichOneof("mode") == "replicated" and spec.replicated.replicas < 2:
        return
    coming = {
        wanted.name for _, wanted in missing(spec) if is_driven(wanted)
    }  # for one node, as long as nobody says more
    for name in sorted(coming.union(mount.volume.name for mount in mounts if mount.volume.single_node)):
        yield f"volume {name} can be used on one node at a time: all tasks run there"
    own = (mount for mount in mounts if not (mount.volume.per_slot or mount.volume.options or mount.volume.driver))
    for name in sorted({mount.volume.name for mount in own}):
        yield f"volume {name} is local: its data on each node is that node's own"
