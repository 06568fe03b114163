"""The cluster's record: making it, and opening what is sealed in it. Pure but for the random bytes."""

import secrets

from shoal.api.v1.cluster_pb2 import Cluster
from shoal.api.v1.meta_pb2 import Meta
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.keyring import Keyring

_CA_KEY = "key of the certificate authority"
_TOKEN_KEY = "key of the join tokens"  # noqa: S105  # a label, not a secret
TOKEN_KEY_BYTES = 32


def new_cluster(cluster_id: str, authority: Authority, *, keyring: Keyring, now_ms: int) -> Cluster:
    """The record of a cluster that begins now."""
    return Cluster(
        meta=Meta(id=cluster_id, created_at_ms=now_ms, updated_at_ms=now_ms),
        ca_certificate=authority.certificate,
        sealed_ca_key=keyring.seal(certificates.key_to_der(authority.key), purpose=_CA_KEY),
        sealed_token_key=_new_token_key(keyring),
    )


def with_token_key(cluster: Cluster, *, keyring: Keyring, now_ms: int) -> Cluster:
    """A copy with a new key for join tokens."""
    changed = Cluster()
    changed.CopyFrom(cluster)
    changed.sealed_token_key = _new_token_key(keyring)
    changed.meta.updated_at_ms = now_ms
    return changed


def open_authority(cluster: Cluster, keyring: Keyring) -> Authority:
    """The authority, able to sign.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    der = keyring.unseal(cluster.sealed_ca_key, purpose=_CA_KEY)
    return Authority(certificate=cluster.ca_certificate, key=certificates.key_from_der(der))


def token_key(cluster: Cluster, keyring: Keyring) -> bytes:
    """The key of the join tokens' authentication codes.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    return keyring.unseal(cluster.sealed_token_key, purpose=_TOKEN_KEY)


def _new_token_key(keyring: Keyring) -> bytes:
    return keyring.seal(secrets.token_bytes(TOKEN_KEY_BYTES), purpose=_TOKEN_KEY)


def rewrapped(cluster: Cluster, keyring: Keyring) -> Cluster | None:
    """A copy in which everything is sealed with the current cluster key; None when it is so already.

    Raises:
        InvalidInput: no key of this manager opens it.
    """
    ca_key = keyring.resealed(cluster.sealed_ca_key, purpose=_CA_KEY)
    token_key = keyring.resealed(cluster.sealed_token_key, purpose=_TOKEN_KEY)
    if ca_key is None and token_key is None:
        return None
    copy = Cluster()
    copy.CopyFrom(cluster)
    copy.sealed_ca_key = ca_key or cluster.sealed_ca_key
    copy.sealed_token_key = token_key or cluster.sealed_token_key
    return copy
