"""Rows of lists that are asked for: containers, images, networks, volumes, secrets, configs, managers. Pure.

Every row has `id` and `name`; a secret's content is in none, since managers do not give it.
"""

from typing import Any

from shoal.api.v1.control_pb2 import FileView, ManagerView, NetworkView, VolumeView
from shoal.api.v1.engine_pb2 import ContainerView, ImageView
from shoal.container_states import state_text
from shoal.image_reference import familiar_text

Row = dict[str, Any]


def container_row(view: ContainerView) -> Row:
    """A container of one's own."""
    container = view.container
    return {
        "id": container.meta.id,
        "name": container.name,
        "state": state_text(view),
        "image": familiar_text(container.definition.task.container.image),
        "command": " ".join(view.command),
        "node": view.node_hostname,
        "task": view.task.id,
        "created": container.meta.created_at_ms,
        "problems": [*view.status.problems, *view.warnings],
    }


def image_row(view: ImageView) -> Row:
    """An image of the cluster's repository."""
    image = view.image
    names = [familiar_text(each) for each in view.names]
    return {
        "id": image.digest,
        "name": names[0] if names else image.digest,
        "names": names,
        "platforms": [f"{each.platform.os}/{each.platform.architecture}" for each in image.variants],
        "nodes": len(view.node_ids),
        "users": len(view.container_ids) + len(view.service_ids),
        "created": image.meta.created_at_ms,
    }


def network_row(view: NetworkView) -> Row:
    """A network."""
    spec = view.network.spec
    return {
        "id": view.network.meta.id,
        "name": spec.name,
        "driver": spec.driver,
        "stack": spec.stack,
        "subnet": ", ".join(filter(None, (view.allocation.subnet, view.allocation.subnet6))),
        "addresses": view.addresses,
        "services": list(view.services),
        "encrypted": spec.options.get("encrypted", "false") != "false",
        "problem": view.problem,
    }


def volume_row(view: VolumeView) -> Row:
    """A volume, and the nodes that have its data."""
    spec = view.volume.spec
    return {
        "id": view.volume.meta.id,
        "name": spec.name,
        "driver": spec.driver,
        "stack": spec.stack,
        "services": list(view.services),
        "nodes": sorted({each.hostname for each in view.locations}),
        "problem": "; ".join(f"{each.hostname}: {each.problem}" for each in view.locations if each.problem),
    }


def file_row(view: FileView) -> Row:
    """A secret or a config, without its content."""
    return {
        "id": view.meta.id,
        "name": view.spec.name,
        "stack": view.spec.stack,
        "versions": len(view.versions),
        "size": view.versions[0].size_bytes if view.versions else 0,
        "services": list(view.services),
        "updated": view.meta.updated_at_ms,
    }


def manager_row(view: ManagerView) -> Row:
    """A manager."""
    manager = view.manager
    return {
        "id": manager.id,
        "name": manager.id,
        "address": manager.api_address,
        "state": ("leader" if view.leader else "ready") if view.alive else "down",
        "nodes": view.nodes,
        "version": manager.version,
        "started": view.started_at_ms,
        "certificate": view.certificate_expires_at_ms,
        "problem": view.membership.problem,
    }
