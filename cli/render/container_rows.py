"""Rows of `shoal ps`, and the ports of containers as Docker writes them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from typing import Any

from cli.render.table import FieldSource
from cli.render.task_rows import short_image, timestamp
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import NetworkView
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_ids import container_id
from shoal.container_states import ACTIVE, state_text, status_text
from shoal.docker_units import docker_age, docker_size
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.networks.network_modes import BRIDGE
from shoal.networks.published_ports import bracketed, protocol_name

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


def size_text(view: ContainerView) -> str:
    """ "12kB (virtual 8.1MB)"; "N/A" where its node has not told it."""
    if not view.HasField("writable_bytes"):
        return "N/A"
    total = docker_size(view.writable_bytes + view.image_bytes)
    return f"{docker_size(view.writable_bytes)} (virtual {total})"


def identifier_of(view: ContainerView) -> str:
    """The id of the container, or of the service's task."""
    return view.container.meta.id or view.task.id


@dataclass(frozen=True)
class PortBinding:
    """A published port: of every node where `host_address` is empty."""

    host_address: str
    published: int
    target: int
    protocol: int

    @property
    def published_text(self) -> str:
        """ "0.0.0.0:8080"."""
        return f"{_host(self.host_address)}:{self.published}"


def port_bindings(view: ContainerView) -> list[PortBinding]:
    """The published ports of a container that runs, by port."""
    if state_text(view) not in ACTIVE:
        return []
    mesh = (
        PortBinding(each.host_address, each.published, each.target, each.protocol) for each in view.status.mesh_ports
    )
    own = (PortBinding(each.host_address, each.published, each.target, each.protocol) for each in view.task.ports)
    return sorted({*mesh, *own}, key=lambda each: (each.target, each.protocol, each.host_address, each.published))


def ports_text(view: ContainerView) -> str:
    """ "0.0.0.0:8080->80/tcp, 0.0.0.0:9000-9002->9000-9002/tcp": neighbours are written as a range."""
    bindings = enumerate(port_bindings(view))
    groups = groupby(bindings, key=lambda at: _range_key(at[0], at[1]))
    return ", ".join(_range_text([each for _, each in group]) for _, group in groups)


def _range_key(index: int, each: PortBinding) -> tuple[str, int, int, int]:
    """The same for neighbours: both numbers go up with the index."""
    return each.host_address, each.protocol, each.published - index, each.target - index


def _range_text(group: Sequence[PortBinding]) -> str:
    first, last = group[0], group[-1]
    published, target = _span(first.published, last.published), _span(first.target, last.target)
    return f"{_host(first.host_address)}:{published}->{target}/{protocol_name(first.protocol)}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _host(address: str) -> str:
    return bracketed(address) if address else "0.0.0.0"  # noqa: S104  (shown, not bound)


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
    text = " ".join(words)
    shown = text if no_trunc or len(text) <= _COMMAND else f"{text[: _COMMAND - 1]}…"
    return json.dumps(shown, ensure_ascii=False)


def _mount_name(mount: Mount, no_trunc: bool) -> str:
    name = mount.volume.name or mount.source or mount.target
    return name if no_trunc or len(name) <= _MOUNT else f"{name[: _MOUNT - 1]}…"


def names_of_networks(views: Iterable[NetworkView]) -> dict[str, str]:
    """Names of networks by id, of what `ListNetworks` answers."""
    return {view.network.meta.id: view.network.spec.name for view in views}
