"""Creates the cluster's record and decrypts the keys in it. Pure but for random bytes."""

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
    """The record of a new cluster."""
    return Cluster(
        meta=Meta(id=cluster_id, created_at_ms=now_ms, updated_at_ms=now_ms),
        ca_certificate=authority.certificate,
        encrypted_ca_key=keyring.encrypt(certificates.key_to_der(authority.key), purpose=_CA_KEY),
        encrypted_token_key=_new_token_key(keyring),
    )


def with_token_key(cluster: Cluster, *, keyring: Keyring, now_ms: int) -> Cluster:
    """A copy with a new key for join tokens."""
    changed = Cluster()
    changed.CopyFrom(cluster)
    changed.encrypted_token_key = _new_token_key(keyring)
    changed.meta.updated_at_ms = now_ms
    return changed


def decrypt_authority(cluster: Cluster, keyring: Keyring) -> Authority:
    """The authority with its decrypted key.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    der = keyring.decrypt(cluster.encrypted_ca_key, purpose=_CA_KEY)
    return Authority(certificate=cluster.ca_certificate, key=certificates.key_from_der(der))


def token_key(cluster: Cluster, keyring: Keyring) -> bytes:
    """The key of the join tokens' authentication codes.

    Raises:
        InvalidInput: the cluster key is not this cluster's.
    """
    return keyring.decrypt(cluster.encrypted_token_key, purpose=_TOKEN_KEY)


def _new_token_key(keyring: Keyring) -> bytes:
    return keyring.encrypt(secrets.token_bytes(TOKEN_KEY_BYTES), purpose=_TOKEN_KEY)


def reencrypted(cluster: Cluster, keyring: Keyring) -> Cluster | None:
    """A copy in which everything is encrypted with the current cluster key; None if it already is.

    Raises:
        InvalidInput: no key of this manager decrypts it.
    """
    ca_key = keyring.reencrypted(cluster.encrypted_ca_key, purpose=_CA_KEY)
    token_key = keyring.reencrypted(cluster.encrypted_token_key, purpose=_TOKEN_KEY)
    if ca_key is None and token_key is None:
        return None
    copy = Cluster()
    copy.CopyFrom(cluster)
    copy.encrypted_ca_key = ca_key or cluster.encrypted_ca_key
    copy.encrypted_token_key = token_key or cluster.encrypted_token_key
    return copy
