"""Rows of `shoal ps`, and the ports of containers as Docker writes them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from cli.render.table import FieldSource
from cli.render.task_rows import short_image, timestamp
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import NetworkView
from shoal.api.v1.engine_pb2 import ContainerSummaries, ContainerView
from shoal.container_ids import container_id
from shoal.container_ports import ports_text
from shoal.container_states import state_text, status_text
from shoal.docker_units import docker_age, docker_size
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.networks.network_modes import BRIDGE

COLUMNS = ("container_id", "image", "command", "created", "status", "ports", "node", "names")
FIELDS: Mapping[str, FieldSource] = {
    "ID": "container_id",
    "RunningFor": "created",
    "Mounts": lambda row: ",".join(row["mounts"]),
    "Networks": lambda row: ",".join(row["networks"]),
}
"""Docker's names, beside the columns' own."""

_SHORT_ID, _COMMAND, _MOUNT = 12, 20, 15
"""Characters in a table, as in Docker."""


@dataclass(frozen=True)
class RowOptions:
    """How rows are made.

    Attributes:
        now_ms: milliseconds since the Unix epoch.
        networks: names of networks by id; ids without a name stay ids.
        no_trunc: nothing is shortened.
    """

    now_ms: int
    networks: Mapping[str, str]
    no_trunc: bool = False


def container_row(view: ContainerView, options: RowOptions) -> dict[str, Any]:
    """A row of the listing, of a container or of a service's task."""
    definition, identifier = view.container.definition, identifier_of(view)
    spec, digits = definition.task.container, container_id(identifier_of(view))
    created_ms = view.container.meta.created_at_ms or view.task.created_at_ms
    name = view.container.name
    return {
        "container_id": digits if options.no_trunc else digits[:_SHORT_ID],
        "image": _image(spec.image, options.no_trunc),
        "command": _command(view, options.no_trunc),
        "created": f"{docker_age((options.now_ms - created_ms) // 1000)} ago",
        "status": status_text(view, options.now_ms),
        "ports": ports_text(view),
        "node": view.node_hostname,
        "names": name if options.no_trunc or view.container.meta.id else name.removesuffix(f".{identifier}"),
        "size": size_text(view),
        "object_id": identifier,
        "state": state_text(view),
        "created_at": timestamp(created_ms),
        "labels": {**spec.labels, **definition.labels},
        "mounts": [_mount_name(each, options.no_trunc) for each in spec.mounts],
        "local_volumes": sum(each.type == Mount.VOLUME for each in spec.mounts),
        "networks": [options.networks.get(each.network, each.network) for each in definition.task.networks] or [BRIDGE],
        "writable_bytes": view.writable_bytes if view.HasField("writable_bytes") else None,
        "image_bytes": view.image_bytes if view.HasField("image_bytes") else None,
        "exit_code": view.task_status.exit_code if view.task_status.HasField("exit_code") else None,
        "restart_count": view.restart_count,
        "is_task": not view.container.meta.id,
    }


def summary_columns(answer: ContainerSummaries, now_ms: int) -> dict[str, Sequence[str]]:
    """The table's columns, of what `SummarizeContainers` answers."""
    status = zip(answer.status_before, answer.status_since_ms, answer.status_after, strict=True)
    return {
        "container_id": answer.ids,
        "image": answer.images,
        "command": [_shown_command(each, no_trunc=False) for each in answer.commands],
        "created": [f"{docker_age((now_ms - each) // 1000)} ago" for each in answer.created_at_ms],
        "status": [
            f"{before}{docker_age((now_ms - since) // 1000)}{after}" if since else f"{before}{after}"
            for before, since, after in status
        ],
        "ports": answer.ports,
        "node": answer.nodes,
        "names": answer.names,
    }


def size_text(view: ContainerView) -> str:
    """ "12kB (virtual 8.1MB)"; "N/A" where its node has not told it."""
    if not view.HasField("writable_bytes"):
        return "N/A"
    total = docker_size(view.writable_bytes + view.image_bytes)
    return f"{docker_size(view.writable_bytes)} (virtual {total})"


def identifier_of(view: ContainerView) -> str:
    """The id of the container, or of the service's task."""
    return view.container.meta.id or view.task.id


@lru_cache(maxsize=1024)
def _image(image: str, no_trunc: bool) -> str:
    """As people write it."""
    try:
        return parse(image if no_trunc else short_image(image)).familiar
    except InvalidInput:
        return image


def _command(view: ContainerView, no_trunc: bool) -> str:
    spec = view.container.definition.task.container
    words = view.command or [*chain(spec.entrypoint, spec.command)]
    return _shown_command(" ".join(words), no_trunc)


@lru_cache(maxsize=4096)
def _shown_command(text: str, no_trunc: bool) -> str:
    shown = text if no_trunc or len(text) <= _COMMAND else f"{text[: _COMMAND - 1]}…"
    return json.dumps(shown, ensure_ascii=False)


def _mount_name(mount: Mount, no_trunc: bool) -> str:
    name = mount.volume.name or mount.source or mount.target
    return name if no_trunc or len(name) <= _MOUNT else f"{name[: _MOUNT - 1]}…"


def names_of_networks(views: Iterable[NetworkView]) -> dict[str, str]:
    """Names of networks by id, of what `ListNetworks` answers."""
    return {view.network.meta.id: view.network.spec.name for view in views}
