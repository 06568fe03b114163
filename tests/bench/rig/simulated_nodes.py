"""Records and identities of nodes, made beside a manager that runs: signed with the cluster's key, without joins."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from manager.certificate_authority import cluster_record
from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.store import kinds
from manager.store.backend import Put
from shoal.api.v1.cluster_pb2 import Cluster
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.identity.identity import Identity
from shoal.identity.keyring import load_keyring
from shoal.identity.roles import CertificateSubject, Role

AT_ONCE = 500


async def make_nodes(
    state: Path, names: Sequence[str], labels: Mapping[str, str] | None = None
) -> list[tuple[str, Identity]]:
    """Write the records of nodes with these ids, and sign a certificate for each.

    Args:
        state: the state directory of a manager that runs, with its own etcd.
        labels: of each node.
    """
    async with own_member(state / "etcd" / "client:0") as members:
        etcd, key = Etcd(members=members), kinds.CLUSTER.key("")
        cluster = Cluster.FromString((await etcd.read([key])).records[key].value)
        authority = cluster_record.decrypt_authority(cluster, load_keyring(state / "cluster.key"))
        now = datetime.now(UTC)
        puts = [Put(kinds.NODE.key(each), _node(each, now, labels or {})) for each in names]
        for first in range(0, len(puts), AT_ONCE):
            await etcd.txn((), puts[first : first + AT_ONCE])
        return [(each, authority.issue(CertificateSubject(each, Role.AGENT, cluster.meta.id), now)) for each in names]


def _node(node_id: str, now: datetime, labels: Mapping[str, str]) -> bytes:
    at_ms = int(now.timestamp() * 1000)
    meta = Meta(id=node_id, created_at_ms=at_ms, updated_at_ms=at_ms)
    return Node(meta=meta, spec=NodeSpec(availability=NodeSpec.ACTIVE, labels=labels)).SerializeToString()
