"""Rotation of the keys of encrypted networks.

A node can have two generations of keys at a time, so a rotation waits until every node has completed the last one.
"""

from manager.interfaces import NowMs
from manager.records.object_lookup import hostname_of
from manager.store.changes import expect, put
from manager.store.kinds import OVERLAY_KEYS
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.text_rules import join_names
from shoal.api.v1.cluster_pb2 import OverlayKeys
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Refused
from shoal.networks.overlay_encryption import is_encrypted, key_generation


class OverlayKeyRotation:
    """The only writer of the record, for users and for the leader's timer."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def rotate(self, fence: int | None = None) -> int:
        """Have nodes create new keys; the new generation.

        Raises:
            Refused: there is no encrypted network, or a node still has older keys.
            Conflict: it was changed meanwhile just now. LeadershipLost: the term of the fence is over.
        """
        view = self._store.tables
        if not any(is_encrypted(network.spec) for network in view.networks.values()):
            raise Refused("no encrypted network exists, so there are no keys to rotate")
        if behind := nodes_behind(view):
            raise Refused(
                f"a key rotation is in progress: {join_names(behind)} still uses older keys; try again in a minute"
            )
        generation = key_generation(view.overlay_keys) + 1
        record = OverlayKeys(generation=generation, changed_at_ms=self._now_ms())
        unchanged = expect(OVERLAY_KEYS, "", self._store.version_of(OVERLAY_KEYS, ""))
        await self._store.commit([put(OVERLAY_KEYS, "", record)], expects=[unchanged], fence=fence)
        return generation


def nodes_behind(view: View) -> list[str]:
    """Host names of the nodes that are ready and have keys of another generation, alone or beside the newest."""
    newest = key_generation(view.overlay_keys)
    return sorted(
        hostname_of(view, node_id)
        for node_id, status in view.node_status.items()
        if status.state == NodeStatus.READY and any(key.generation != newest for key in status.description.overlay_keys)
    )
