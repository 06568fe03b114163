"""Volume calls: create, get, list, remove, prune."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from manager.interfaces import NowMs
from manager.records import name_records
from manager.records.concurrent_changes import retried
from manager.records.in_use import in_use
from manager.records.object_lookup import find_volume, hostname_of, is_down, volume_named
from manager.records.write_groups import WriteGroup, commit_all
from manager.store.changes import Expect, Write, delete, expect, put
from manager.store.kinds import NAME, VOLUME, VOLUME_HOME, VOLUME_STATUS
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.volume_rules import check_volume
from manager.volumes import volume_references, volume_secret_references
from manager.volumes.volume_drivers import is_csi, known_drivers
from manager.volumes.volume_homes import home_of
from manager.volumes.volume_move_progress import moves_in_progress
from manager.volumes.volume_sizes import VolumeSizeSource, add_sizes
from shoal.api.v1.control_pb2 import (
    CreateVolumeRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    ListVolumesResponse,
    PruneVolumesRequest,
    RemoveVolumeRequest,
    RemoveVolumesResponse,
    VolumeLocation,
    VolumeView,
)
from shoal.api.v1.volume_pb2 import NodePublication, Volume, VolumePublication, VolumeSpec, VolumeStatus
from shoal.errors import AlreadyExists, InvalidInput, Refused
from shoal.ids import NewId
from shoal.rpc.caller import Caller


class VolumeHandler:
    """The volume calls. Records belong to the cluster; data is on the nodes, which report it."""

    def __init__(self, *, store: RecordStore, sizes: VolumeSizeSource, now_ms: NowMs, new_id: NewId) -> None:
        self._store = store
        self._sizes = sizes
        self._now_ms = now_ms
        self._new_id = new_id

    async def create(self, request: CreateVolumeRequest, caller: Caller) -> VolumeView:
        """Raises InvalidInput with all faults, AlreadyExists when the name is taken."""
        spec = VolumeSpec()
        spec.CopyFrom(request.spec)
        faults = list(check_volume(spec, known_drivers(self._store.tables)))
        faults += volume_secret_references.resolve(spec, self._store.tables, {})
        if faults:
            raise InvalidInput(faults)
        taken = f'volume "{request.spec.name}" already exists, or is being removed; choose another name'
        if volume_named(self._store.tables, request.spec.name) is not None:
            raise AlreadyExists(taken)
        volume = volume_references.new_volume(self._new_id(), spec, self._now_ms())
        writes, expects = volume_references.creation(volume)
        touched, present = volume_secret_references.touch(self._store.tables, spec, {})
        group = WriteGroup([*writes, *touched], [*expects, *present])
        await name_records.commit_new(self._store, group, taken)
        return VolumeView(volume=volume)

    async def get(self, request: GetVolumeRequest, caller: Caller) -> VolumeView:
        view = self._store.tables
        found = next(views(view, [find_volume(view, request.volume)]))
        if request.include_sizes:
            await add_sizes(view, [found], self._sizes)
        return found

    async def list(self, request: ListVolumesRequest, caller: Caller) -> ListVolumesResponse:
        """Sizes that nodes do not report are left out, with a warning."""
        view = self._store.tables
        ordered = sorted(view.volumes.values(), key=lambda volume: volume.spec.name)
        found = list(views(view, ordered))
        warnings = await add_sizes(view, found, self._sizes) if request.include_sizes else []
        return ListVolumesResponse(volumes=found, warnings=warnings)

    async def remove(self, request: RemoveVolumeRequest, caller: Caller) -> RemoveVolumesResponse:
        """Raises Refused while a service uses it. Force has no effect on a local one: its nodes delete it."""
        identifier = find_volume(
            self._store.tables, request.volume
        ).meta.id  # not another one that has the name by then
        return await retried(lambda: self._remove(identifier, request))

    async def _remove(self, identifier: str, request: RemoveVolumeRequest) -> RemoveVolumesResponse:
        view = self._store.tables
        volume = find_volume(view, identifier)
        if users := volume_references.users(view).get(volume.meta.id):
            raise Refused(in_use("volume", volume.spec.name, users))
        if volume.moves:
            name = volume.spec.name
            raise Refused(
                f'volume "{name}" is being moved; to cancel the move, run `shoal volume move --cancel {name}`'
            )
        step = removal(self._store, volume, forced=request.force and is_csi(volume.spec))
        await self._store.commit(step.writes, expects=step.expects)
        answer = self._removed([volume])
        if request.force and not is_csi(volume.spec):
            answer.warnings.append(f'--force has no effect on volume "{volume.spec.name}", which is local')
        return answer

    async def prune(self, request: PruneVolumesRequest, caller: Caller) -> RemoveVolumesResponse:
        """Only volumes that neither a service nor a live task uses."""
        return await retried(lambda: self._prune(request))

    async def _prune(self, request: PruneVolumesRequest) -> RemoveVolumesResponse:
        view = self._store.tables
        used = volume_references.users(view).keys() | volume_references.used_by_live_tasks(view)
        unused = [
            volume
            for identifier, volume in view.volumes.items()
            if identifier not in used and not volume.removing and not volume.moves and _labelled(volume, request.label)
        ]
        await commit_all(self._store, [removal(self._store, volume) for volume in unused])
        return self._removed(unused)

    def _removed(self, volumes: Sequence[Volume]) -> RemoveVolumesResponse:
        view = self._store.tables
        left = [present for each in volumes if (present := view.volumes.get(each.meta.id)) is not None]
        waiting = [
            f'volume "{each.volume.spec.name}" {_removal_blocker(view, each.volume, place.node_id)}'
            for each in views(view, sorted(left, key=lambda volume: volume.spec.name))
            for place in each.locations
            if place.down and not each.volume.forced
        ]
        return RemoveVolumesResponse(names=sorted(each.spec.name for each in volumes), warnings=dict.fromkeys(waiting))


_OTHER_WRITES = 3
"""Of a deletion, beside those of the volume's homes."""


def removal(store: RecordStore, volume: Volume, *, forced: bool = False) -> WriteGroup:
    """Deletes the volume, or marks it while nodes or its driver hold its data, and where it has more homes than one
    transaction takes: then the leader deletes it.

    Both only if no service started using it meanwhile.

    Args:
        forced: it is removed even if its driver does not delete it.
    """
    homes = _home_keys(store, volume)
    if not _has_data(store, volume) and len(homes) <= store.max_operations - _OTHER_WRITES:
        return _deletion(store, volume, homes)
    marked = Volume()
    marked.CopyFrom(volume)
    marked.removing, marked.forced = True, volume.forced or forced
    return WriteGroup([put(VOLUME, volume.meta.id, marked)], _unused(store, volume))


def _deletion(store: RecordStore, volume: Volume, homes: Sequence[str]) -> WriteGroup:
    """Deletes the volume with these of its homes."""
    writes: list[Write] = [delete(VOLUME, volume.meta.id), delete(NAME, _name_key(volume))]
    expects = _unused(store, volume)
    if volume.meta.id in store.tables.volume_status:
        writes.append(delete(VOLUME_STATUS, volume.meta.id))
        expects.append(expect(VOLUME_STATUS, volume.meta.id, store.version_of(VOLUME_STATUS, volume.meta.id)))
    return WriteGroup([*writes, *(delete(VOLUME_HOME, key) for key in homes)], expects)


def _unused(store: RecordStore, volume: Volume) -> list[Expect]:
    """That no service started using it: one that does touches its name."""
    name = _name_key(volume)
    return [expect(VOLUME, volume.meta.id, volume.meta.version), expect(NAME, name, store.version_of(NAME, name))]


def _name_key(volume: Volume) -> str:
    return f"volume/{volume.spec.name}"


def _home_keys(store: RecordStore, volume: Volume) -> list[str]:
    below = f"{volume.meta.id}/"
    return [key for key in store.tables.volume_homes if key.startswith(below)]


def _has_data(store: RecordStore, volume: Volume) -> bool:
    """Whether its data still exists; of CSI volumes, their controller records when it does not."""
    if is_csi(volume.spec):
        status = store.tables.volume_status.get(volume.meta.id)
        return not volume.removing or status is None or not status.deleted
    return volume.meta.id in nodes_with_data(store.tables)


def removable_volumes(store: RecordStore) -> Iterator[WriteGroup]:
    """Volumes being removed whose data has been deleted; the homes beyond what one transaction takes go before."""
    most = store.max_operations - _OTHER_WRITES
    for volume in [volume for volume in store.tables.volumes.values() if volume.removing]:
        if not _has_data(store, volume):
            homes = _home_keys(store, volume)
            while len(homes) > most:
                first, homes = homes[:most], homes[most:]
                yield WriteGroup([delete(VOLUME_HOME, key) for key in first], _unused(store, volume))
            yield _deletion(store, volume, homes)


def nodes_with_data(view: View) -> Mapping[str, Sequence[str]]:
    """IDs of the nodes that hold data of a volume, by its ID."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for node_id, held in view.node_volumes.items():
        for volume_id in dict.fromkeys(each.volume_id for each in held.volumes):
            found[volume_id].append(node_id)
    return found


def views(view: View, volumes: Sequence[Volume]) -> Iterator[VolumeView]:
    """Volumes with their users and locations."""
    users = volume_references.users(view)
    requested = {volume.meta.id for volume in volumes}
    places: defaultdict[str, list[VolumeLocation]] = defaultdict(list)
    for node_id, record in view.node_volumes.items():
        for held in record.volumes:
            if held.volume_id in requested:
                home = home_of(view, view.volumes[held.volume_id], held.slot)
                places[held.volume_id].append(
                    VolumeLocation(
                        node_id=node_id,
                        hostname=hostname_of(view, node_id),
                        slot=held.slot,
                        created_at_ms=held.created_at_ms,
                        home=home == node_id,
                        down=is_down(view, node_id),
                        problem=_removal_blocker(view, view.volumes[held.volume_id], node_id),
                    )
                )
    for volume in volumes:
        status = view.volume_status.get(volume.meta.id)
        published = (
            [_publication_location(view, status, each) for each in status.publications] if status is not None else []
        )
        found = sorted([*places[volume.meta.id], *published], key=lambda place: (place.slot, place.hostname))
        yield VolumeView(
            volume=volume,
            services=users.get(volume.meta.id, ()),
            locations=found,
            moves=moves_in_progress(view, volume, status),
            status=status,
        )


def _publication_location(view: View, status: VolumeStatus, published: VolumePublication) -> VolumeLocation:
    """A node where a CSI volume is published, will be, or is being released, with what prevents that."""
    node_id = published.node_id
    record = view.node_volumes.get(node_id)
    publications = record.publications if record is not None else ()
    reported = next((each for each in publications if each.volume_id == status.volume_id), NodePublication())
    return VolumeLocation(
        node_id=node_id,
        hostname=hostname_of(view, node_id),
        publication_state=published.state,
        mounted=reported.mounted,
        problem=published.problem or reported.problem,
        down=is_down(view, node_id),
    )


def _removal_blocker(view: View, volume: Volume, node_id: str) -> str:
    """Why a node that is down keeps a volume from being removed; empty when it does not."""
    if not volume.removing or not is_down(view, node_id):
        return ""
    name, does = hostname_of(view, node_id), "detached it" if is_csi(volume.spec) else "deleted its data"
    return f"is removed once node {name}, which is down, has {does}; to remove it now, run `shoal node rm {name}`"


def _labelled(volume: Volume, label: str) -> bool:
    name, sign, value = label.partition("=")
    return not label or (name in volume.spec.labels and (not sign or volume.spec.labels[name] == value))
