"""The cluster's record: making it, and opening what is sealed in it. Pure but for the random bytes."""

from shoal.api.v1.cluster_pb2 import Cluster
from shoal.api.v1.meta_pb2 import Meta
from shoal.identity import certificates, sealing
from shoal.identity.authority import Authority
from shoal.identity.join_token import JoinToken, hash_of_ca

_CA_KEY = "key of the certificate authority"
_AGENT_SECRET = "secret of the join token"  # noqa: S105  # a label, not a secret


def new_cluster(cluster_id: str, authority: Authority, secret: str, *, cluster_key: bytes, now_ms: int) -> Cluster:
    """The record of a cluster that begins now."""
    return Cluster(
        meta=Meta(id=cluster_id, created_at_ms=now_ms, updated_at_ms=now_ms),
        ca_certificate=authority.certificate,
        sealed_ca_key=sealing.seal(cluster_key, certificates.key_to_der(authority.key), purpose=_CA_KEY),
        sealed_agent_secret=_sealed_secret(secret, cluster_key),
    )


def with_secret(cluster: Cluster, secret: str, *, cluster_key: bytes, now_ms: int) -> Cluster:
    """A copy with another join secret."""
    changed = Cluster()
    changed.CopyFrom(cluster)
    changed.sealed_agent_secret = _sealed_secret(secret, cluster_key)
    changed.meta.updated_at_ms = now_ms
    return changed


def open_authority(cluster: Cluster, cluster_key: bytes) -> Authority:
    """The authority, able to sign.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    der = sealing.unseal(cluster_key, cluster.sealed_ca_key, purpose=_CA_KEY)
    return Authority(certificate=cluster.ca_certificate, key=certificates.key_from_der(der))


def join_token(cluster: Cluster, cluster_key: bytes) -> JoinToken:
    """The token that agents join with.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    secret = sealing.unseal(cluster_key, cluster.sealed_agent_secret, purpose=_AGENT_SECRET).decode()
    return JoinToken(hash_of_ca(cluster.ca_certificate), secret)


def _sealed_secret(secret: str, cluster_key: bytes) -> bytes:
    return sealing.seal(cluster_key, secret.encode(), purpose=_AGENT_SECRET)
