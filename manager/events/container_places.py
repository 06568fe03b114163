"""Events of the volumes that a container mounts and the networks that it is on while its program runs. Pure.

In Docker's order: volumes, then networks, before the start; the other way round before the end is reported.
"""

from collections.abc import Iterator

from manager.store.tables import View
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.standalone_pb2 import Container
from shoal.networks.network_modes import BRIDGE, HOST, MODES, NONE, is_mode

LOCAL = "local"
_TYPES = {HOST: "host", NONE: "null"}
"""Of networks that every node has, where it is not a bridge."""


def of_start(container: Container, view: View, at_ms: int) -> Iterator[Event]:
    """Its volumes are mounted, and it is connected to its networks."""
    for mount in _volumes(container.definition.task):
        event = _of_volume(container, mount, "mount", view, at_ms)
        writable = "false" if mount.read_only else "true"
        event.attributes.update({"destination": mount.target, "propagation": "", "read/write": writable})
        yield event
    for network in _networks(container.definition.task):
        yield of_network(container, network, "connect", view, at_ms)


def of_end(container: Container, view: View, at_ms: int) -> Iterator[Event]:
    """It leaves them."""
    for network in _networks(container.definition.task):
        yield of_network(container, network, "disconnect", view, at_ms)
    for mount in _volumes(container.definition.task):
        yield _of_volume(container, mount, "unmount", view, at_ms)


def of_network(container: Container, identifier: str, action: str, view: View, at_ms: int) -> Event:
    """`connect` or `disconnect`.

    Args:
        identifier: of a network of the cluster, or the name of one that every node has.
    """
    network = view.networks.get(identifier)
    name = network.spec.name if network is not None else identifier
    event = Event(type="network", action=action, id=identifier, name=name, at_ms=at_ms)
    event.attributes.update({"container": container.meta.id, "name": name})
    if identifier in _TYPES:
        event.attributes["type"] = _TYPES[identifier]
    return event


def _of_volume(container: Container, mount: Mount, action: str, view: View, at_ms: int) -> Event:
    volume = view.volumes.get(mount.source)
    name = volume.spec.name if volume is not None else mount.volume.name
    event = Event(type="volume", action=action, id=mount.source, name=name, at_ms=at_ms)
    driver = volume.spec.driver if volume is not None else mount.volume.driver
    event.attributes.update({"container": container.meta.id, "driver": driver or LOCAL})
    return event


def _volumes(template: TaskTemplate) -> list[Mount]:
    return [each for each in template.container.mounts if each.type == Mount.VOLUME]


def _networks(template: TaskTemplate) -> list[str]:
    """None where it has the network of another container."""
    named = [each.network for each in template.networks] or [BRIDGE]
    return [each for each in named if each in MODES or not is_mode(each)]
