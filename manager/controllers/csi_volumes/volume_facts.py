"""The observed state of a CSI volume, read from the store. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manager.store.tables import View
from shoal.api.v1.node_pb2 import CsiDriver, NodeStatus
from shoal.api.v1.volume_pb2 import NodePublication, Volume, VolumeStatus


@dataclass(frozen=True)
class DriverFacts:
    """A driver as all nodes together report it.

    Attributes:
        known: a node has reported it.
        creates, attaches: as in `CsiDriver`.
        controllers: ids of nodes through which its controller can be called now.
        topologies: the distinct topologies that its nodes report.
    """

    known: bool
    creates: bool
    attaches: bool
    controllers: tuple[str, ...]
    topologies: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class NodeFacts:
    """A node, as far as one volume is concerned.

    Attributes:
        driver_node_id: the driver's id of the node; empty if the node does not have the driver.
        reported: the node's own report of the publication.
    """

    hostname: str
    down: bool
    driver_node_id: str
    reported: NodePublication


@dataclass(frozen=True)
class VolumeFacts:
    """Everything that the next step depends on.

    Attributes:
        status: None before the first step.
        needed_on: ids of nodes with tasks that have the volume mounted, or are about to.
        nodes: every node of the cluster by id.
    """

    volume: Volume
    status: VolumeStatus | None
    driver: DriverFacts
    needed_on: frozenset[str]
    nodes: Mapping[str, NodeFacts]


def volume_facts(view: View, volume: Volume, needed_on: frozenset[str]) -> VolumeFacts:
    """The facts, read from the view."""
    status = view.volume_status.get(volume.meta.id)
    concerned = needed_on.union(each.node_id for each in status.publications) if status is not None else needed_on
    return VolumeFacts(
        volume=volume,
        status=status,
        driver=driver_facts(view, volume.spec.driver),
        needed_on=needed_on,
        nodes={node_id: _node_facts(view, volume, node_id) for node_id in concerned if node_id in view.nodes},
    )


def driver_facts(view: View, name: str) -> DriverFacts:
    """What the nodes report of a driver."""
    found = [(node_id, each) for node_id, each in _reported(view, name)]
    ready = [(node_id, each) for node_id, each in found if each.has_controller and _is_usable(view, node_id, each)]
    topologies = {tuple(sorted(each.topology.items())) for _, each in found if each.has_topology and each.topology}
    return DriverFacts(
        known=bool(found),
        creates=any(each.creates_volumes for _, each in found),
        attaches=any(each.attaches_volumes for _, each in found),
        controllers=tuple(sorted(node_id for node_id, _ in ready)),
        topologies=tuple(dict(each) for each in sorted(topologies)),
    )


def driver_on(status: NodeStatus | None, name: str) -> CsiDriver | None:
    """A node's driver of this name."""
    drivers = status.description.csi_drivers if status is not None else ()
    return next((each for each in drivers if each.name == name), None)


def _reported(view: View, name: str) -> Iterable[tuple[str, CsiDriver]]:
    for node_id, status in view.node_status.items():
        if (driver := driver_on(status, name)) is not None:
            yield node_id, driver


def _is_usable(view: View, node_id: str, driver: CsiDriver) -> bool:
    return view.node_status[node_id].state == NodeStatus.READY and not driver.problem


def _node_facts(view: View, volume: Volume, node_id: str) -> NodeFacts:
    status, record = view.node_status.get(node_id), view.node_volumes.get(node_id)
    driver = driver_on(status, volume.spec.driver)
    reported = [each for each in record.publications if each.volume_id == volume.meta.id] if record is not None else []
    return NodeFacts(
        hostname=status.description.hostname if status is not None else node_id,
        down=status is None or status.state == NodeStatus.DOWN,
        driver_node_id=driver.node_id if driver is not None else "",
        reported=reported[0] if reported else NodePublication(),
    )
