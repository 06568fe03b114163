"""Anonymous volumes of containers: made for one, and removed with it if its user says so. Pure."""

from manager.records.write_groups import WriteGroup
from manager.store.record_store import RecordStore
from manager.volumes import volume_handler, volume_references
from shoal.api.v1.standalone_pb2 import Container

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
"""Of a volume that was made without a name, as Docker marks it."""


def anonymous_volumes(store: RecordStore, container: Container) -> list[WriteGroup]:
    """Removals of the container's anonymous volumes that nothing else uses; one transaction each."""
    view = store.tables
    users = volume_references.users(view)
    found = []
    for _, mount in volume_references.volume_mounts(container.definition.task.container):
        volume = view.volumes.get(mount.source)
        if volume is None or ANONYMOUS_LABEL not in volume.spec.labels or volume.removing:
            continue
        if all(user == f"container {container.name}" for user in users.get(mount.source, ())):
            found.append(volume_handler.removal(store, volume))
    return found
