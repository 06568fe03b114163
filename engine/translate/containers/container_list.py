"""`GET /containers/json`: a row a container. Pure.

What a row shows of its container's definition is kept: to make it anew, the request that made the container would be
read for each row of each list.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from engine.protocol.versions import NETWORKS_AT_CREATION, ApiVersion
from engine.translate.containers.container_creation import config_documents
from engine.translate.containers.container_endpoints import endpoints
from engine.translate.containers.container_facts import (
    Surroundings,
    created_ms,
    given_name,
    identifier,
    labels_of,
    mount_points,
    ports_of,
    sizes_of,
)
from engine.translate.containers.container_ports import listed_ports
from engine.translate.images.image_facts import ImageFacts, command_of, with_image
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.container_states import state_text, status_text

MAX_KEPT = 10_000

_Key = tuple[bytes, ApiVersion, tuple[str, ...], str]


@dataclass(frozen=True)
class _Columns:
    """Of a definition and its image."""

    image: str
    command: str
    exposed_ports: dict[str, Any]
    network_mode: str


_kept: dict[_Key, _Columns] = {}


def _names(view: ContainerView, around: Surroundings) -> list[str]:
    """The first is what clients show: the name that a service gives to its one task, before that of the task."""
    given = [f"/{name}"] if (name := given_name(view)) else []
    return [*given, f"/{view.container.name}", *around.links.get(view.container.meta.id, ())]


def list_row(
    view: ContainerView,
    version: ApiVersion,
    around: Surroundings,
    *,
    now_ms: int,
    sizes: bool = False,
) -> dict[str, Any]:
    """
    Args:
        now_ms: milliseconds since the Unix epoch, for the ages in `Status`.
        sizes: with those of its files, which the view has to have.
    """
    image = around.image_of(view)
    columns = _columns(view.container.definition, version, around, image)
    networks = endpoints(view, around)
    if version < NETWORKS_AT_CREATION:
        for endpoint in networks.values():
            del endpoint["DNSNames"]
    row: dict[str, Any] = {
        "Id": identifier(view),
        "Names": _names(view, around),
        "Image": columns.image,
        "ImageID": image.image_id or view.task_status.image_digest,
        "Command": columns.command,
        "Created": created_ms(view) // 1000,
        "Ports": listed_ports(ports_of(view), columns.exposed_ports) if _is_up(view) else [],
        "Labels": image.text_map("Labels") | labels_of(view),
        "State": state_text(view),
        "Status": status_text(view, now_ms),
        "HostConfig": {"NetworkMode": columns.network_mode},
        "NetworkSettings": {"Networks": networks},
        "Mounts": mount_points(view),
    }
    if sizes:
        row["SizeRw"], row["SizeRootFs"] = sizes_of(view)
    return row


def _columns(definition: ContainerDefinition, version: ApiVersion, around: Surroundings, image: ImageFacts) -> _Columns:
    networks = tuple(around.network_names.get(each.network, "") for each in definition.task.networks)
    digest = blake2b(definition.SerializeToString(deterministic=True), digest_size=16).digest()
    key = (digest, version, networks, image.image_id)
    if (known := _kept.get(key)) is not None:
        return known
    config, host = config_documents(definition, version, network_names=around.network_names)
    config = with_image(config, image)
    found = _Columns(config["Image"], command_text(config), config.get("ExposedPorts") or {}, host["NetworkMode"])
    if len(_kept) >= MAX_KEPT:
        _kept.clear()
    _kept[key] = found
    return found


def command_text(config: dict[str, Any]) -> str:
    """The program with its arguments, those with blanks in quotes."""
    path, arguments = command_of(config)
    return " ".join([path, *(f"'{each}'" if " " in each else each for each in arguments)]).strip()


def _is_up(view: ContainerView) -> bool:
    return state_text(view) in ("running", "paused")
