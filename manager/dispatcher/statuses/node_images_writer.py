"""Writes which images each node holds."""

from collections.abc import Sequence

from manager.store.changes import PRESENT, expect, put
from manager.store.kinds import NODE, NODE_IMAGES
from manager.store.record_store import RecordStore
from shoal.api.v1.standalone_pb2 import NodeImages


class NodeImagesWriter:
    """Writes only changes."""

    def __init__(self, *, store: RecordStore) -> None:
        self._store = store

    async def write(self, node_id: str, digests: Sequence[str]) -> None:
        """Write a node's report.

        Raises:
            Conflict: the node was removed, or another manager wrote the record concurrently. Unavailable: etcd is
                unavailable.
        """
        known = self._store.tables.node_images.get(node_id)
        new = NodeImages(node_id=node_id, digests=sorted(set(digests)))
        if new == known or (known is None and not digests):
            return
        await self._store.commit(
            [put(NODE_IMAGES, node_id, new)],
            expects=[
                expect(NODE, node_id, PRESENT),
                expect(NODE_IMAGES, node_id, self._store.version_of(NODE_IMAGES, node_id)),
            ],
        )
