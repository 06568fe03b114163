"""Links of a container: names by which it alone knows others, and what variables of links say of these. Pure."""

import json

from manager.containers.container_commands import configs_by_digest
from manager.records.object_lookup import find_container
from manager.store.tables import View
from shoal.api.v1.container_pb2 import ContainerLink
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition
from shoal.errors import Fault, NotFound, ShoalError

_LEFT_OUT = ("HOME", "PATH")
"""Variables of a linked container that the other one does not get, as with Docker."""


def resolve_links(definition: ContainerDefinition, view: View) -> list[Fault]:
    """Put the links into the definition as its node needs them."""
    links, faults = definition.task.container.links, list[Fault]()
    del links[:]
    for index, link in enumerate(definition.links):
        reference, _, alias = link.partition(":")
        try:
            linked = find_container(view, reference)
        except ShoalError as error:
            faults.append(Fault(f"links[{index}]", str(error)))
            continue
        names = dict.fromkeys(name.lower() for name in (alias, linked.name) if name)
        env, ports = _variables_and_ports(linked, view)
        links.append(ContainerLink(container_id=linked.meta.id, names=names, env=env, ports=ports))
    renew_network_links(definition)
    return faults


def renew_network_links(definition: ContainerDefinition) -> None:
    """Make the links of its attachments those that its node gets; links to containers stay."""
    links = definition.task.container.links
    kept = [link for link in links if link.container_id]
    del links[:]
    links.extend(kept)
    for attachment in definition.task.networks:
        for link in attachment.links:
            name, _, alias = link.partition(":")
            links.append(ContainerLink(target=name.lower(), names=[(alias or name).lower()]))


def without_link(definition: ContainerDefinition, alias: str) -> ContainerDefinition:
    """The definition without a link, to a container or on its networks.

    Raises:
        NotFound: it has none of this alias.
    """
    changed = ContainerDefinition()
    changed.CopyFrom(definition)
    kept = [index for index, link in enumerate(definition.links) if not _is_called(link, alias)]
    links = [definition.task.container.links[index] for index in kept]
    found = len(kept) < len(definition.links)
    del changed.links[:], changed.task.container.links[:]
    changed.links.extend(definition.links[index] for index in kept)
    changed.task.container.links.extend(links)
    for attachment in changed.task.networks:
        others = [link for link in attachment.links if not _is_called(link, alias)]
        found = found or len(others) < len(attachment.links)
        del attachment.links[:]
        attachment.links.extend(others)
    if not found:
        raise NotFound(f'it has no link "{alias}"')
    renew_network_links(changed)
    return changed


def _is_called(link: str, alias: str) -> bool:
    name, _, given = link.partition(":")
    return (given or name).lower() == alias.lower()


def _variables_and_ports(linked: Container, view: View) -> tuple[list[str], list[str]]:
    """Variables and ports of a linked container, its image's with them."""
    spec = linked.definition.task.container
    env, ports = dict[str, str](), dict[str, None]()
    for each in (*_of_image(spec.image, view, "Env"), *spec.env):
        name, sign, value = each.partition("=")
        if sign and name not in _LEFT_OUT:
            env[name] = value
    for port in linked.definition.ports:
        protocol = PublishedPort.Protocol.Name(port.protocol or PublishedPort.TCP).lower()
        ports[f"{port.target}/{protocol}"] = None
    ports |= dict.fromkeys(_of_image(spec.image, view, "ExposedPorts"))
    return [f"{name}={value}" for name, value in env.items()], [*ports]


def _of_image(image: str, view: View, key: str) -> list[str]:
    """A list, or the keys of a map, of an image's configuration; nothing of one that the cluster has no record of."""
    config = configs_by_digest(view).get(image.partition("@")[2], b"")
    try:
        return list(map(str, json.loads(config)["config"].get(key) or ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
