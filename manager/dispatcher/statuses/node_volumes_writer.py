"""Writes which volumes each node holds."""

from manager.store.changes import PRESENT, expect, put
from manager.store.kinds import NODE, NODE_VOLUMES
from manager.store.record_store import RecordStore
from shoal.api.v1.dispatcher_pb2 import VolumeReport
from shoal.api.v1.volume_pb2 import NodeVolumes


class NodeVolumesWriter:
    """Writes only changes."""

    def __init__(self, *, store: RecordStore) -> None:
        self._store = store

    async def write(self, node_id: str, report: VolumeReport) -> None:
        """Write a node's volume report.

        Raises:
            Conflict: the node was removed, or another manager wrote the record concurrently. Unavailable: etcd is
                unavailable.
        """
        known = self._store.tables.node_volumes.get(node_id)
        new = NodeVolumes(node_id=node_id, volumes=report.volumes, publications=report.publications)
        if new == known or (known is None and not report.ListFields()):
            return
        await self._store.commit(
            [put(NODE_VOLUMES, node_id, new)],
            expects=[
                expect(NODE, node_id, PRESENT),
                expect(NODE_VOLUMES, node_id, self._store.version_of(NODE_VOLUMES, node_id)),
            ],
        )
