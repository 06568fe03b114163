"""The records of a container as its user's calls change them. Pure.

A container is its record, its name, and an immutable revision for each state of its definition, in the form of a
service's, since agents, dispatcher, indexes and names know no other. What it does is the planner's.
"""

from manager.records import name_records
from manager.records.change_origin import change_origin
from manager.records.write_groups import WriteGroup
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import CONTAINER, REVISION
from manager.store.tables import View
from manager.volumes import volume_references
from shoal.api.v1.service_pb2 import Endpoint, PublishedPort, RestartPolicy, ServiceRevision, ServiceSpec
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition, ContainerStop
from shoal.container_ids import short_container_id
from shoal.networks.network_modes import HOST, is_mode, joined_container, mode_of

OBJECT_TYPE = "container"
"""Before the name in the identifier of its name record."""

SIGKILL_AT_ONCE = ContainerStop(signal="SIGKILL", grace_ms=0)
"""How a forced removal stops it."""


def new_container(identifier: str, name: str, definition: ContainerDefinition, now_ms: int) -> Container:
    """A container that is to be created and not started."""
    container = Container(name=name, definition=definition, revision=1, desired=Container.CREATED)
    container.meta.id = identifier
    container.meta.created_at_ms = container.meta.updated_at_ms = now_ms
    return container


def started(container: Container, now_ms: int, start_by_ms: int = 0) -> Container:
    """Its user starts it.

    Args:
        start_by_ms: when the start is given up that could not be made until then, since its caller waits no longer.
            Milliseconds since the Unix epoch; 0: never.
    """
    changed = _copy(container, now_ms)
    changed.desired, changed.run = Container.RUNNING, container.run + 1
    changed.start_by_ms, changed.held, changed.held_boot_id = start_by_ms, False, ""
    changed.ClearField("stop")
    return changed


def start_withdrawn(container: Container, before: Container, now_ms: int) -> Container:
    """Its start is not admitted and is taken back; the number of the run is not used again."""
    changed = _copy(container, now_ms)
    changed.desired = Container.CREATED if before.desired == Container.CREATED else Container.STOPPED
    changed.start_by_ms, changed.held, changed.held_boot_id = 0, before.held, before.held_boot_id
    return changed


def stopped(container: Container, how: ContainerStop, now_ms: int, boot_id: str = "") -> Container:
    """Its user stops it, in this boot of its node."""
    changed = held(container, now_ms, boot_id)
    changed.desired, changed.start_by_ms = Container.STOPPED, 0
    changed.stop.CopyFrom(how)
    return changed


def restarted(container: Container, how: ContainerStop, now_ms: int, start_by_ms: int = 0) -> Container:
    """Its user stops it and starts it again."""
    changed = started(container, now_ms, start_by_ms)
    changed.stop.CopyFrom(how)
    return changed


def held(container: Container, now_ms: int, boot_id: str = "") -> Container:
    """Its user sends it a signal, which may end it: its restart policy leaves it then, in this boot of its node."""
    changed = _copy(container, now_ms)
    changed.held, changed.held_boot_id = True, boot_id
    return changed


def renamed(container: Container, name: str, now_ms: int) -> Container:
    """The same under another name, as a new revision."""
    changed = _copy(container, now_ms)
    changed.name, changed.revision = name, container.revision + 1
    return changed


def redefined(container: Container, definition: ContainerDefinition, now_ms: int) -> Container:
    """The same by another definition, as a new revision. What the client sent is told back where it still holds."""
    changed = _copy(container, now_ms)
    changed.definition.CopyFrom(definition)
    changed.revision += 1
    return changed


def removed(container: Container, *, with_volumes: bool, force: bool, now_ms: int) -> Container:
    """Its user removes it: what runs is stopped, then the record is deleted."""
    changed = _copy(container, now_ms)
    changed.removing, changed.held = True, True
    changed.remove_volumes = with_volumes or container.remove_volumes
    if force:
        changed.stop.CopyFrom(SIGKILL_AT_ONCE)
    return changed


def revision_of(container: Container, now_ms: int) -> Write:
    """The newest revision of a container, to be written once."""
    record = ServiceRevision(
        service_id=container.meta.id,
        number=container.revision,
        spec=spec_of(container),
        created_at_ms=now_ms,
        origin=change_origin(),
    )
    return put(REVISION, f"{container.meta.id}/{container.revision}", record)


def spec_of(container: Container) -> ServiceSpec:
    """The definition in the form of a service with one task, which answers by its own addresses."""
    definition = container.definition
    spec = ServiceSpec(name=container.name, labels=definition.labels, task=definition.task)
    spec.replicated.replicas = 1
    spec.endpoint.mode = Endpoint.DNSRR
    spec.endpoint.ports.extend(_published(port, on_node=definition.publish_on_node) for port in definition.ports)
    template, short = spec.task, short_container_id(container.meta.id)
    template.restart.condition = RestartPolicy.NONE
    template.container.drain_ms = 0
    if not template.container.hostname and mode_of(template) != HOST and not joined_container(template):
        template.container.hostname = short
    for attachment in template.networks:
        if not is_mode(attachment.network):
            own = [name for name in (short, template.container.hostname) if name not in attachment.aliases]
            attachment.aliases.extend(dict.fromkeys(own))
    return spec


def _published(port: PublishedPort, *, on_node: bool) -> PublishedPort:
    """A port of one address is its node's own; others are every node's unless the user has it otherwise."""
    chosen = PublishedPort()
    chosen.CopyFrom(port)
    chosen.mode = PublishedPort.HOST if on_node or port.host_address else PublishedPort.INGRESS
    return chosen


def creation(view: View, container: Container) -> WriteGroup:
    """Writes and conditions of a new container: the record, its name, its revision, and what it uses."""
    name, free = name_records.claim(OBJECT_TYPE, container.name, container.meta.id)
    spec = spec_of(container)
    networks, present = name_records.touch_networks(name_records.networks_of(view, spec))
    volumes, there = volume_references.touch(view, spec)
    created_at_ms = container.meta.created_at_ms
    own = [put(CONTAINER, container.meta.id, container), revision_of(container, created_at_ms), name]
    new = expect(CONTAINER, container.meta.id, ABSENT)
    return WriteGroup([*own, *networks, *volumes], [free, new, *present, *there])


def change(container: Container, changed: Container, now_ms: int) -> WriteGroup:
    """Writes and conditions of a changed container, with its revision if it has a new one."""
    writes: list[Write] = [put(CONTAINER, container.meta.id, changed)]
    if changed.revision != container.revision:
        writes.append(revision_of(changed, now_ms))
    expects: list[Expect] = [unchanged_since(container)]
    if changed.name != container.name:
        name, free = name_records.claim(OBJECT_TYPE, changed.name, container.meta.id)
        writes += [name, name_records.release(OBJECT_TYPE, container.name)]
        expects.append(free)
    return WriteGroup(writes, expects)


def deletion(container: Container) -> WriteGroup:
    """Deletes the record and its name; the planner deletes status and revisions, and its node the files."""
    writes = [delete(CONTAINER, container.meta.id), name_records.release(OBJECT_TYPE, container.name)]
    return WriteGroup(writes, [unchanged_since(container)])


def unchanged_since(container: Container) -> Expect:
    """The condition that the container has not changed since it was read."""
    return expect(CONTAINER, container.meta.id, container.meta.version)


def _copy(container: Container, now_ms: int) -> Container:
    changed = Container()
    changed.CopyFrom(container)
    changed.meta.updated_at_ms = now_ms
    return changed
