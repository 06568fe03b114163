"""Anonymous volumes of containers: made for one, and removed with it if its user says so. Pure."""

from collections.abc import Collection

from manager.containers import container_records
from manager.records.write_groups import WriteGroup
from manager.store.record_store import RecordStore
from manager.volumes import volume_handler, volume_references
from shoal.api.v1.standalone_pb2 import Container

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
"""Of a volume that was made without a name, as Docker marks it."""


def deletion_with_volumes(store: RecordStore, container: Container, made: Collection[str] = ()) -> WriteGroup:
    """The deletion of a container and the removal of its anonymous volumes, in one transaction.

    Args:
        made: ids of further volumes that go with it: those with names that were made with a container that is undone.
    """
    groups = [container_records.deletion(container), *anonymous_volumes(store, container, made)]
    return WriteGroup(
        [write for group in groups for write in group.writes], [expect for group in groups for expect in group.expects]
    )


def anonymous_volumes(store: RecordStore, container: Container, made: Collection[str] = ()) -> list[WriteGroup]:
    """Removals of the container's anonymous volumes, and of those that are named, if nothing else uses them."""
    view = store.tables
    users = volume_references.users(view)
    found: dict[str, WriteGroup] = {}
    for _, mount in volume_references.volume_mounts(container.definition.task.container):
        volume = view.volumes.get(mount.source)
        if volume is None or volume.removing:
            continue
        if ANONYMOUS_LABEL not in volume.spec.labels and mount.source not in made:
            continue
        if all(user == f"container {container.name}" for user in users.get(mount.source, ())):
            found[mount.source] = volume_handler.removal(store, volume)
    return [*found.values()]
