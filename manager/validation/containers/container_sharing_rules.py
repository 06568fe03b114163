"""What a container of one's own shares with another one: its network, processes, inter-process communication.

Pure: yields every fault.
"""

import re
from collections.abc import Iterator

from manager.validation.text_rules import check_alias
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.service_pb2 import ServiceSpec, TaskTemplate
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.errors import Fault
from shoal.networks.network_modes import BRIDGE, CONTAINER, HOST, NONE, is_mode, joined_container, mode_of

MAX_LINKS = 128
"""Of one container, and of each of its networks."""
MAX_NAME = 253
"""Characters of the name of another container: as many as names in the DNS have."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_OF_CONTAINERS = ("pid_container", "ipc_container", "mac_address", "links")


def check_without_sharing(spec: ServiceSpec) -> Iterator[Fault]:
    """A service's tasks share nothing with a container of one's own."""
    for index, attachment in enumerate(spec.task.networks):
        if attachment.network.startswith(CONTAINER):
            yield Fault(f"task.networks[{index}].network", "containers' networks can be shared by containers only")
        if attachment.links:
            yield Fault(f"task.networks[{index}].links", "is supported for containers only")
    for name in _OF_CONTAINERS:
        if getattr(spec.task.container, name):
            yield Fault(f"task.container.{name}", "is supported for containers only")


def without_sharing(spec: ServiceSpec) -> ServiceSpec:
    """The spec as a service could have it: what only containers can have is left out."""
    found = ServiceSpec()
    found.CopyFrom(spec)
    container = found.task.container
    container.pid_container = container.ipc_container = container.mac_address = ""
    del container.links[:]
    kept = [each for each in spec.task.networks if not each.network.startswith(CONTAINER)]
    if len(kept) > 1:  # beside networks, the node's own pool is one more of them
        kept = [each for each in kept if each.network != BRIDGE]
    del found.task.networks[:]
    found.task.networks.extend(kept)
    for each in found.task.networks:
        del each.links[:]
    return found


def check_sharing(definition: ContainerDefinition) -> Iterator[Fault]:
    """Every fault of what a container shares with others, and of its links; paths are those of the definition."""
    template = definition.task
    yield from _check_network(definition)
    yield from _check_namespaces(template.container)
    yield from _check_mac(template)
    if len(definition.links) > MAX_LINKS:
        yield Fault("links", f"has {len(definition.links)} links; the maximum is {MAX_LINKS}")
    for index, link in enumerate(definition.links):
        yield from _check_link(f"links[{index}]", link)
    for place, attachment in enumerate(template.networks):
        path = f"task.networks[{place}].links"
        if len(attachment.links) > MAX_LINKS:
            yield Fault(path, f"has {len(attachment.links)} links; the maximum is {MAX_LINKS}")
        for index, link in enumerate(attachment.links[:MAX_LINKS]):
            yield from _check_link(f"{path}[{index}]", link)


def _check_link(path: str, link: str) -> Iterator[Fault]:
    name, colon, alias = link.partition(":")
    if not name or len(name) > MAX_NAME or (colon and not alias):
        yield Fault(path, f'"{link[:80]}" must be a container, or CONTAINER:ALIAS')
    elif colon:
        yield from check_alias(path, alias)


def _check_network(definition: ContainerDefinition) -> Iterator[Fault]:
    template = definition.task
    shared = [each.network for each in template.networks if each.network.startswith(CONTAINER)]
    if not shared:
        if definition.links and mode_of(template) in (HOST, NONE):
            yield Fault("links", f'cannot be combined with network "{mode_of(template)}"')
        return
    if len(template.networks) > 1:
        yield Fault("task.networks", f'"{shared[0]}" cannot be combined with other networks')
    elif not joined_container(template):
        yield Fault("task.networks[0].network", f'"{CONTAINER}" must be followed by a container: {CONTAINER}NAME')
    container = template.container
    conflicts = (
        ("ports", definition.ports, "published ports"),
        ("links", definition.links, "links"),
        ("task.container.hostname", container.hostname, "hostname"),
        ("task.container.domainname", container.domainname, "domain name"),
        ("task.container.mac_address", container.mac_address, "MAC address"),
        ("task.container.dns", container.dns.ByteSize(), "dns"),
        ("task.container.extra_hosts", container.extra_hosts, "extra hosts"),
    )
    for path, given, what in conflicts:
        if given:
            yield Fault(path, f'{what} cannot be combined with network "{shared[0]}": it has those of that container')


def _check_namespaces(container: ContainerSpec) -> Iterator[Fault]:
    for kind, joined in (("pid", container.pid_container), ("ipc", container.ipc_container)):
        if joined and getattr(container.host_namespaces, kind):
            yield Fault(f"task.container.{kind}_container", "cannot be combined with the node's own namespace")


def _check_mac(template: TaskTemplate) -> Iterator[Fault]:
    mac = template.container.mac_address
    if not mac:
        return
    path = "task.container.mac_address"
    if not _MAC.fullmatch(mac):
        yield Fault(path, f'"{mac[:40]}" must be a MAC address such as 02:42:ac:11:00:02, in lower case')
    elif int(mac[:2], 16) & 1 or not int(mac.replace(":", ""), 16):
        yield Fault(path, f"{mac} must be the address of a single interface: its first byte even, and not all zero")
    elif template.networks and is_mode(mode := template.networks[0].network) and mode in (HOST, NONE):
        yield Fault(path, f'cannot be combined with network "{mode}"')
