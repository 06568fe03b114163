"""A creation request as a definition, and a definition as the `Config` and `HostConfig` that clients read. Pure.

What a client has sent is kept with the definition, and each key of it is told back while it still means what is in
force (`kept_requests`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.protocol.errors import ApiError
from engine.protocol.versions import ApiVersion
from engine.translate.containers import (
    container_mounts,
    container_networks,
    container_ports,
    host_config,
    host_resources,
)
from engine.translate.containers.placement_hints import is_hint, read_hints
from engine.translate.containers.process_config import process_document, read_process
from engine.translate.fields import Fields
from engine.translate.kept_requests import keep, read_kept
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.errors import InvalidInput
from shoal.image_reference import DEFAULT_TAG, ImageReference, parse
from shoal.networks.network_modes import BRIDGE


@dataclass(frozen=True)
class Creation:
    """A creation request.

    Attributes:
        definition: names of networks, volumes and containers are as the client has them.
        volumes_from: containers whose mounts are taken over, and whether only to read.
        image: as it was asked for.
        warnings: for the client.
    """

    definition: ContainerDefinition
    image: str
    volumes_from: list[tuple[str, bool]]
    warnings: list[str] = field(default_factory=list)


def read_creation(document: Mapping[str, Any], version: ApiVersion, *, image_ports: Iterable[str] = ()) -> Creation:
    """
    Args:
        document: the body of `POST /containers/create`.
        image_ports: what the image exposes, "80/tcp"; for `PublishAllPorts`.
    Raises:
        ApiError: 400, something is not valid or cannot be honoured.
    """
    body = Fields(document)
    host = body.nested("HostConfig")
    host.path = "HostConfig"
    definition = ContainerDefinition()
    container = definition.task.container
    container.image = _image(body)
    definition.labels.update(body.text_map("Labels"))
    hints = read_hints(body.texts("Env"), definition.labels)
    read_process(body, container, hints.environment)
    host_resources.read_resources(host, definition.task)
    host_config.read_host(host, definition)
    container.mounts.extend(container_mounts.read_mounts(body, host))
    container_ports.check_exposed(body)
    definition.ports.extend(container_ports.read_ports(body, host, image_ports))
    definition.task.networks.extend(container_networks.read_networks(body, host, version))
    container.mac_address = container_networks.read_mac(body)
    _read_links(body, host, definition)
    hints.apply(definition)
    definition.engine_request = keep(document, version)
    return Creation(definition, container.image, host_config.volumes_from(host), hints.warnings)


def _read_links(body: Fields, host: Fields, definition: ContainerDefinition) -> None:
    """Links of the host configuration, and of the node's own pool. Those of networks are with their attachments."""
    links = container_networks.read_links(host)
    if container_networks.has_own_networks(definition.task.networks):
        known = {link for each in definition.task.networks for link in each.links}
        own = next(each for each in definition.task.networks if container_networks.has_own_networks([each]))
        own.links.extend(link for link in links if link not in known)
        return
    for name, endpoint in body.nested("NetworkingConfig").nested_map("EndpointsConfig").items():
        if name in (BRIDGE, container_networks.DEFAULT):
            links += container_networks.read_links(endpoint)
    definition.links.extend(dict.fromkeys(links))


def config_documents(
    definition: ContainerDefinition, version: ApiVersion, *, network_names: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`Config` and `HostConfig` of a definition, without what the image adds.

    Args:
        network_names: names by id.
    """
    config, host = _of_definition(definition, version, network_names)
    sent = read_kept(definition.engine_request)
    if sent is None:
        return config, host
    try:
        meant = read_creation(sent[0], sent[1]).definition
    except ApiError:
        return config, host
    then_config, then_host = _of_definition(meant, version, network_names)
    sent_config, sent_host = _normalized(sent[0])
    return _as_sent(config, then_config, sent_config), _as_sent(host, then_host, sent_host)


def _of_definition(
    definition: ContainerDefinition, version: ApiVersion, network_names: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    task, mounts = definition.task, container_mounts.mount_documents(definition.task.container.mounts)
    config = {
        **process_document(task.container),
        "AttachStdin": task.container.stdin_open,
        "AttachStdout": True,
        "AttachStderr": True,
        "Image": familiar_image(task.container.image),
        "Volumes": mounts["Volumes"],
        "OnBuild": None,
        "Labels": {**task.container.labels, **definition.labels},
    }
    if task.container.mac_address:
        config["MacAddress"] = task.container.mac_address
    if exposed := container_ports.exposed_document(definition.ports):
        config["ExposedPorts"] = exposed
    host = {
        **host_config.host_document(definition, version),
        **host_resources.resources_document(task),
        "Binds": mounts["Binds"],
        "NetworkMode": container_networks.mode_document(task.networks, network_names),
        "PortBindings": container_ports.bindings_document(definition.ports),
        **({"Mounts": mounts["Mounts"]} if mounts["Mounts"] else {}),
        **({"Tmpfs": mounts["Tmpfs"]} if mounts["Tmpfs"] else {}),
    }
    return config, host


def _as_sent(current: dict[str, Any], then: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """What is in force, each key as it was sent where it still means that."""
    return current | {key: value for key, value in sent.items() if current.get(key) == then.get(key)}


def _normalized(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`Config` and `HostConfig` as sent, where Docker tells them back as sent."""
    host = {key: value for key, value in (body.get("HostConfig") or {}).items() if _is_as_sent(key, value)}
    if host.get("NetworkMode") == container_networks.DEFAULT:
        host["NetworkMode"] = BRIDGE
    config = {key: value for key, value in body.items() if key not in ("HostConfig", "NetworkingConfig")}
    for key in ("Hostname", "MacAddress", "StdinOnce", "NetworkDisabled"):
        config.pop(key, None)
    if config.get("Env"):
        config["Env"] = [entry for entry in config["Env"] if not is_hint(entry)]
    if not config.get("Labels"):
        config["Labels"] = {}
    for key in ("Volumes", "Entrypoint", "Cmd", "ExposedPorts", "Healthcheck", "StopSignal", "StopTimeout"):
        if not config.get(key):
            config.pop(key, None)
    return config, host


_FILLED = (
    "CgroupnsMode", "IpcMode", "MaskedPaths", "MemorySwap", "MemorySwappiness", "NetworkMode", "PidsLimit",
    "ReadonlyPaths", "RestartPolicy", "Runtime", "ShmSize", "LogConfig", "OomKillDisable", "Init",
)  # fmt: skip
"""Keys of `HostConfig` that Docker fills in where they are empty."""


def _is_as_sent(key: str, value: Any) -> bool:
    if key == "LogConfig":
        return bool(isinstance(value, dict) and value.get("Type"))
    if key == "RestartPolicy":
        return bool(isinstance(value, dict) and value.get("Name"))
    if key == "MemorySwappiness":
        return isinstance(value, int) and value >= 0
    if key in ("MaskedPaths", "ReadonlyPaths"):
        return value is not None
    return bool(value) or key not in _FILLED


def familiar_image(image: str) -> str:
    """A reference as users write it, without the digest that a manager has added."""
    try:
        found = parse(image)
    except InvalidInput:
        return image
    return ImageReference(found.domain, found.path, found.tag or DEFAULT_TAG).familiar


def _image(body: Fields) -> str:
    image = body.text("Image")
    if not image:
        raise body.invalid("Image", "no image specified")
    return image
