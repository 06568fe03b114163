"""`GET /containers/{id}/json`, whole: every key of the API, null, [] and {} as Docker has them. Pure."""

from typing import Any

from engine.protocol.go_times import time_text
from engine.protocol.versions import NETWORKS_AT_CREATION, NO_SHORT_ID_ALIAS, ApiVersion
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
    state_document,
)
from engine.translate.images.image_facts import ImageFacts, command_of, with_image
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_ids import SHORT_DIGITS

STORAGE_DRIVER = "overlay2"
STATE_DIRECTORY = "/var/lib/shoal/agent/containers"

_BRIDGE_KEYS = (
    "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway",
    "MacAddress",
)  # fmt: skip
"""Of the network `bridge`, told once more outside of `Networks`."""


def inspect_document(
    view: ContainerView, version: ApiVersion, around: Surroundings, *, sizes: bool = False
) -> dict[str, Any]:
    """
    Args:
        sizes: with those of its files, which the view has to have.
    """
    image, whole_id = around.image_of(view), identifier(view)
    config, host = _configs(view, version, around, image)
    path, arguments = command_of(config)
    directory = f"{STATE_DIRECTORY}/{whole_id}"
    document: dict[str, Any] = {
        "Id": whole_id,
        "Created": time_text(created_ms(view)),
        "Path": path,
        "Args": arguments,
        "State": state_document(view),
        "Image": image.image_id or _digest(view),
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": f"{directory}/{whole_id}-json.log",
        "Name": f"/{given_name(view) or view.container.name}",
        "RestartCount": view.restart_count,
        "Driver": STORAGE_DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": view.container.definition.task.container.apparmor,
        "ExecIDs": None,
        "HostConfig": host,
        "GraphDriver": {
            "Data": {"ID": whole_id, "LowerDir": "", "MergedDir": "", "UpperDir": "", "WorkDir": ""},
            "Name": STORAGE_DRIVER,
        },
    }
    if sizes:
        document["SizeRw"], document["SizeRootFs"] = sizes_of(view)
    document |= {
        "Mounts": mount_points(view),
        "Config": config,
        "NetworkSettings": _network_settings(view, version, around, config),
        "Node": node_document(view),
    }
    return document


def node_document(view: ContainerView) -> dict[str, Any]:
    """`Node`, as classic Swarm had it: where the container is."""
    return {"ID": view.node_id, "Name": view.node_hostname, "Down": bool(view.node_down_since_ms)}


def _configs(
    view: ContainerView, version: ApiVersion, around: Surroundings, image: ImageFacts
) -> tuple[dict[str, Any], dict[str, Any]]:
    config, host = config_documents(view.container.definition, version, network_names=around.network_names)
    config = with_image({**config, "Labels": {**(config["Labels"] or {}), **labels_of(view)}}, image)
    host["Links"] = _links(view)
    config["Hostname"] = config["Hostname"] or identifier(view)[:SHORT_DIGITS]
    return config, host


def _links(view: ContainerView) -> list[str] | None:
    """Links to containers as Docker has them: "/db:/web/alias"."""
    parted = (link.partition(":") for link in view.container.definition.links)
    return [f"/{name}:/{view.container.name}/{alias or name}" for name, _, alias in parted] or None


def _network_settings(
    view: ContainerView, version: ApiVersion, around: Surroundings, config: dict[str, Any]
) -> dict[str, Any]:
    networks, ports = endpoints(view, around), ports_of(view)
    running = bool(view.task_status.pid)
    if running:
        ports = {text: ports.get(text) for text in sorted({*ports, *(config.get("ExposedPorts") or {})})}  # type: ignore[misc]
    for endpoint in networks.values():
        if version < NO_SHORT_ID_ALIAS and endpoint["DNSNames"]:
            endpoint["Aliases"] = [*(endpoint["Aliases"] or []), identifier(view)[:SHORT_DIGITS]]
        if version < NETWORKS_AT_CREATION:
            del endpoint["DNSNames"]
    bridge = networks.get("bridge")
    return {
        "Bridge": "",
        "SandboxID": identifier(view) if running else "",
        "SandboxKey": f"/run/shoal/netns/{view.task.id}" if running else "",
        "Ports": ports,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **{key: bridge[key] if bridge is not None else 0 if key.endswith("Len") else "" for key in _BRIDGE_KEYS},
        "Networks": networks,
    }


def _digest(view: ContainerView) -> str:
    """Of the manifest that runs, where the image itself is not known any more."""
    reference = view.container.definition.task.container.image
    return view.task_status.image_digest or reference.partition("@")[2]
