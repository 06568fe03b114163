"""Volume drivers on nodes, and what a mount may request of their volumes. Pure."""

from collections.abc import Iterator

from manager.store.tables import View
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    MULTI_NODE_READER_ONLY,
    SINGLE_NODE_READER_ONLY,
    Volume,
    VolumeSpec,
)
from shoal.errors import Refused


def is_csi(spec: VolumeSpec) -> bool:
    """Whether a CSI driver provides it; otherwise it is a directory on each node."""
    return spec.driver not in ("", "local")


def known_drivers(view: View) -> frozenset[str]:
    """Names of the drivers that nodes have reported, including nodes that are down."""
    return frozenset(each.name for status in view.node_status.values() for each in status.description.csi_drivers)


def complete_mount(mount: Mount, volume: Volume) -> None:
    """Complete a mount with the facts about its volume that agents and the planner need.

    Raises:
        Refused: the volume cannot be mounted like this.
    """
    spec, use = volume.spec, mount.volume
    if use.driver and use.driver != (spec.driver or "local"):
        raise Refused(f'volume "{spec.name}" already exists with driver {spec.driver or "local"}, not {use.driver}')
    mount.source, use.name = volume.meta.id, spec.name
    use.options.clear()
    if not is_csi(spec):
        use.driver, use.single_node = "", False
        use.options.update(spec.options)
        return
    use.driver = spec.driver
    use.single_node = spec.access_mode not in (MULTI_NODE_READER_ONLY, MULTI_NODE_MULTI_WRITER)
    for refusal in _refusals(mount, spec):
        raise Refused(refusal)


def _refusals(mount: Mount, spec: VolumeSpec) -> Iterator[str]:
    if mount.volume.per_slot:
        yield (
            f'volume "{spec.name}" uses driver {spec.driver}; per-slot volumes are supported by the local driver only'
        )
    if spec.access_mode in (SINGLE_NODE_READER_ONLY, MULTI_NODE_READER_ONLY) and not mount.read_only:
        yield f'volume "{spec.name}" is read-only; mount it with readonly'
