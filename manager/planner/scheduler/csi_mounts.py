"""CSI volumes: which nodes a task that mounts some can be placed on, and when it has to wait.

A volume for one node at a time stays where active tasks have it. A task that is placed elsewhere after they have
stopped waits on its node until the volume is unpublished, which the controller of CSI volumes does, not the planner.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage
from manager.planner.scheduler.node_filters import Reason
from manager.planner.spec.mount_rules import is_csi_mount
from manager.store.tables import View
from shoal.api.v1.node_pb2 import CsiDriver
from shoal.api.v1.volume_pb2 import Volume, VolumeStatus
from shoal.task_states import is_live, should_run


@dataclass
class _Locations:
    """Where volumes are published, with the claims of the plan so far.

    Attributes:
        node_of: the node of each single-node volume that active tasks have, by the volume's id.
        on_node: ids of the volumes of a driver on a node, by both.
    """

    node_of: dict[str, str] = field(default_factory=dict)
    on_node: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))


class CsiMounts:
    """The CSI mounts of one service at one revision. False where there are none, which costs nothing."""

    def __init__(self, draft: Draft, service_id: str, revision: int) -> None:
        self._draft = draft
        record = draft.view.revision_of(service_id, revision)
        mounts = record.spec.task.container.mounts if record is not None else ()
        self._names = {mount.source: mount.volume.name for mount in mounts if is_csi_mount(mount)}
        found = (draft.view.volumes.get(volume_id) for volume_id in self._names)
        self._volumes = [volume for volume in found if volume is not None]
        self._single = {mount.source for mount in mounts if is_csi_mount(mount) and mount.volume.single_node}
        self._locations = (
            draft.cached("CSI volume locations", lambda: _read_locations(draft)) if self._names else _Locations()
        )

    def __bool__(self) -> bool:
        return bool(self._names)

    def obstacle(self) -> str:
        """Why no node can have the volumes, one line for the user; empty when nodes can."""
        present = {volume.meta.id: volume for volume in self._volumes}
        for volume_id, name in self._names.items():
            volume, status = present.get(volume_id), self._draft.view.volume_status.get(volume_id)
            if volume is None or volume.removing:
                return f"volume {name} is being removed"
            if status is None or not status.driver_volume_id:
                why = status.problem if status is not None else ""
                return f"volume {name} is not created yet: " + (why or f"driver {volume.spec.driver} is creating it")
        return ""

    def rejects(self, host: NodeUsage) -> Reason | None:
        """Why the node cannot have the volumes now."""
        for volume in self._volumes:
            reason = self._reject(host, volume)
            if reason is not None:
                return reason
        return None

    def claim(self, node_id: str) -> None:
        """A task of the service is placed there."""
        for volume in self._volumes:
            self._locations.on_node[node_id, volume.spec.driver].add(volume.meta.id)
            if volume.meta.id in self._single:
                self._locations.node_of[volume.meta.id] = node_id

    def _reject(self, host: NodeUsage, volume: Volume) -> Reason | None:
        name, driver = volume.spec.name, _driver(host, volume.spec.driver)
        if driver is None:
            return Reason(f"lacks volume driver {volume.spec.driver}", f"lack volume driver {volume.spec.driver}")
        if driver.problem:
            return Reason(
                f"has a volume driver error: {driver.problem}", f"have a volume driver error: {driver.problem}"
            )
        if not is_accessible(self._draft.view.volume_status.get(volume.meta.id), driver):
            return Reason(f"cannot access volume {name}", f"cannot access volume {name}")
        home = self._locations.node_of.get(volume.meta.id)
        if home is not None and home != host.id:
            in_use = f"cannot mount volume {name}: in use on node {_hostname(self._draft.view, home)}"
            return Reason(in_use, in_use)
        held = self._locations.on_node[host.id, volume.spec.driver]
        if driver.max_volumes and volume.meta.id not in held and len(held) >= driver.max_volumes:
            number = "1 volume" if driver.max_volumes == 1 else f"{driver.max_volumes} volumes"
            most = f"{number} of driver {driver.name}"
            return Reason(f"has reached the limit of {most}", f"have reached the limit of {most}")
        return None


def is_accessible(status: VolumeStatus | None, driver: CsiDriver) -> bool:
    """Whether the node with this driver can access a volume (CSI specification, `accessible_topology`)."""
    if status is None or not status.topologies:
        return True
    own = driver.topology
    return any(all(own.get(key) == value for key, value in each.segments.items()) for each in status.topologies)


def _driver(host: NodeUsage, name: str) -> CsiDriver | None:
    drivers = host.status.description.csi_drivers if host.status is not None else ()
    return next((each for each in drivers if each.name == name), None)


def _hostname(view: View, node_id: str) -> str:
    status = view.node_status.get(node_id)
    return status.description.hostname if status is not None else node_id


def _read_locations(draft: Draft) -> _Locations:
    places, view = _Locations(), draft.view
    for status in view.volume_status.values():
        volume = view.volumes.get(status.volume_id)
        for each in status.publications if volume is not None else ():
            assert volume is not None
            places.on_node[each.node_id, volume.spec.driver].add(status.volume_id)
    for service_id, service in view.services.items():
        mounts = service.spec.task.container.mounts
        single = [mount.source for mount in mounts if is_csi_mount(mount) and mount.volume.single_node]
        for task in view.tasks_of(service_id).values() if single else ():
            staying = should_run(task) and not draft.is_stopping(task) and not draft.down_status(task.node_id)
            if task.node_id and staying and is_live(task, view.task_status.get(task.id)):
                places.node_of.update(dict.fromkeys(single, task.node_id))
    return places
