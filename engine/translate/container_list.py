"""`GET /containers/json`: a row a container. Pure."""

from typing import Any

from engine.protocol.versions import NETWORKS_AT_CREATION, ApiVersion
from engine.translate.container_creation import config_documents
from engine.translate.container_endpoints import endpoints
from engine.translate.container_facts import (
    Surroundings,
    created_ms,
    identifier,
    labels_of,
    mount_points,
    ports_of,
    sizes_of,
)
from engine.translate.container_ports import listed_ports
from engine.translate.image_facts import command_of, with_image
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_states import state_text, status_text


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
    config, host = config_documents(view.container.definition, version, network_names=around.network_names)
    config = with_image(config, image)
    networks = endpoints(view, around)
    if version < NETWORKS_AT_CREATION:
        for endpoint in networks.values():
            del endpoint["DNSNames"]
    row: dict[str, Any] = {
        "Id": identifier(view),
        "Names": [f"/{view.container.name}", *around.links.get(view.container.meta.id, ())],
        "Image": config["Image"],
        "ImageID": image.image_id or view.task_status.image_digest,
        "Command": command_text(config),
        "Created": created_ms(view) // 1000,
        "Ports": listed_ports(ports_of(view), config.get("ExposedPorts") or {}) if _is_up(view) else [],
        "Labels": image.text_map("Labels") | labels_of(view),
        "State": state_text(view),
        "Status": status_text(view, now_ms),
        "HostConfig": {"NetworkMode": host["NetworkMode"]},
        "NetworkSettings": {"Networks": networks},
        "Mounts": mount_points(view),
    }
    if sizes:
        row["SizeRw"], row["SizeRootFs"] = sizes_of(view)
    return row


def command_text(config: dict[str, Any]) -> str:
    """The program with its arguments, those with blanks in quotes."""
    path, arguments = command_of(config)
    return " ".join([path, *(f"'{each}'" if " " in each else each for each in arguments)]).strip()


def _is_up(view: ContainerView) -> bool:
    return state_text(view) in ("running", "paused")
