"""The cluster's record: making it, and opening what is sealed in it. Pure but for the random bytes."""

from shoal.api.v1.cluster_pb2 import Cluster
from shoal.api.v1.meta_pb2 import Meta
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.join_token import JoinToken, hash_of_ca
from shoal.identity.keyring import Keyring

_CA_KEY = "key of the certificate authority"
_AGENT_SECRET = "secret of the join token"  # noqa: S105  # a label, not a secret


def new_cluster(cluster_id: str, authority: Authority, secret: str, *, keyring: Keyring, now_ms: int) -> Cluster:
    """The record of a cluster that begins now."""
    return Cluster(
        meta=Meta(id=cluster_id, created_at_ms=now_ms, updated_at_ms=now_ms),
        ca_certificate=authority.certificate,
        sealed_ca_key=keyring.seal(certificates.key_to_der(authority.key), purpose=_CA_KEY),
        sealed_agent_secret=_sealed_secret(secret, keyring),
    )


def with_secret(cluster: Cluster, secret: str, *, keyring: Keyring, now_ms: int) -> Cluster:
    """A copy with another join secret."""
    changed = Cluster()
    changed.CopyFrom(cluster)
    changed.sealed_agent_secret = _sealed_secret(secret, keyring)
    changed.meta.updated_at_ms = now_ms
    return changed


def open_authority(cluster: Cluster, keyring: Keyring) -> Authority:
    """The authority, able to sign.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    der = keyring.unseal(cluster.sealed_ca_key, purpose=_CA_KEY)
    return Authority(certificate=cluster.ca_certificate, key=certificates.key_from_der(der))


def join_token(cluster: Cluster, keyring: Keyring) -> JoinToken:
    """The token that agents join with.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    secret = keyring.unseal(cluster.sealed_agent_secret, purpose=_AGENT_SECRET).decode()
    return JoinToken(hash_of_ca(cluster.ca_certificate), secret)


def _sealed_secret(secret: str, keyring: Keyring) -> bytes:
    return keyring.seal(secret.encode(), purpose=_AGENT_SECRET)


def rewrapped(cluster: Cluster, keyring: Keyring) -> Cluster | None:
    """A copy in which everything is sealed with the current cluster key; None when it is so already.

    Raises:
        InvalidInput: no key of this manager opens it.
    """
    ca_key = keyring.resealed(cluster.sealed_ca_key, purpose=_CA_KEY)
    secret = keyring.resealed(cluster.sealed_agent_secret, purpose=_AGENT_SECRET)
    if ca_key is None and secret is None:
        return None
    copy = Cluster()
    copy.CopyFrom(cluster)
    copy.sealed_ca_key = ca_key or cluster.sealed_ca_key
    copy.sealed_agent_secret = secret or cluster.sealed_agent_secret
    return copy
