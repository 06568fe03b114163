"""What images, containers and volumes take, as `docker system df` sums it up. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cli.render.table import FieldSource
from shoal.api.v1.builds_pb2 import BuildCacheRow
from shoal.api.v1.control_pb2 import VolumeView
from shoal.api.v1.engine_pb2 import ContainerView, ImageView
from shoal.container_states import ACTIVE, state_text
from shoal.docker_units import docker_size

COLUMNS = ("type", "total", "active", "size", "reclaimable")
FIELDS: Mapping[str, FieldSource] = {"TotalCount": "total"}


@dataclass(frozen=True)
class Usage:
    """One kind of objects.

    Attributes:
        active: how many are in use; size: bytes of all, as far as known; reclaimable: bytes that a prune gives back.
    """

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int

    def row(self) -> dict[str, object]:
        """A row of the table, with the bare values."""
        percent = f" ({100 * self.reclaimable // self.size}%)" if self.size else ""
        return {
            "type": self.kind,
            "total": self.total,
            "active": self.active,
            "size": docker_size(self.size),
            "reclaimable": f"{docker_size(self.reclaimable)}{percent}",
            "size_bytes": self.size,
            "reclaimable_bytes": self.reclaimable,
        }


def usage_of_images(images: Sequence[ImageView]) -> Usage:
    """Stored bytes; a layer that several images have counts once."""
    used = [each for each in images if is_used(each)]
    total = sum(blobs_of(images).values())
    return Usage("Images", len(images), len(used), total, total - sum(blobs_of(used).values()))


def is_used(image: ImageView) -> bool:
    """Whether a container or a service has it."""
    return bool(image.container_ids or image.service_ids)


def blobs_of(images: Iterable[ImageView]) -> dict[str, int]:
    """Bytes of everything that is stored of the images, by digest."""
    found: dict[str, int] = {}
    for image in images:
        for each in image.image.variants:
            found.update(zip(each.layers, each.layer_bytes, strict=False))
            found[each.config_digest] = max(0, each.stored_bytes - sum(each.layer_bytes))
    return found


def usage_of_containers(containers: Sequence[ContainerView]) -> Usage:
    """What they have changed of their images' files; to give back is what those take that do not run."""
    running = [each for each in containers if state_text(each) in ACTIVE]
    size, kept = (sum(each.writable_bytes for each in some) for some in (containers, running))
    return Usage("Containers", len(containers), len(running), size, size - kept)


def usage_of_volumes(volumes: Sequence[VolumeView]) -> Usage:
    """Local volumes, on all nodes together."""
    used = [each for each in volumes if each.services]
    size, kept = (sum(map(volume_bytes, some)) for some in (volumes, used))
    return Usage("Local Volumes", len(volumes), len(used), size, size - kept)


def usage_of_builds(rows: Sequence[BuildCacheRow]) -> Usage:
    """What nodes keep of builds."""
    used = [each for each in rows if each.in_use]
    size, kept = (sum(each.bytes for each in some) for some in (rows, used))
    return Usage("Build Cache", len(rows), len(used), size, size - kept)


def volume_bytes(volume: VolumeView) -> int:
    """On all nodes, as far as they have told."""
    return sum(each.used_bytes for each in volume.locations if each.HasField("used_bytes"))
