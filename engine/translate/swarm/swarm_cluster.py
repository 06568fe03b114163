"""The cluster as a swarm. Pure."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.protocol.errors import not_implemented
from engine.protocol.go_times import NEVER
from engine.protocol.versions import ApiVersion
from engine.translate.fields import Fields
from engine.translate.kept_requests import MAX_KEPT_BYTES, as_sent, keep, read_kept
from shoal.api.v1.cluster_pb2 import AddressPools
from shoal.api.v1.control_pb2 import ClusterView, JoinTokenView
from shoal.networks.address_pools import DEFAULT_POOL, PREFIX_LENGTH

HEARTBEAT_NS = 2_000_000_000
NODE_CERTIFICATE_NS = 7_776_000_000_000_000
VXLAN_PORT = 4789
OTHER_DATA_PORT = "the data path port is a setting of each agent, `shoal-agent run --vxlan-port`"
NO_AUTOLOCK = "autolock is not supported: keys are files of the managers"

_NUMBERS = {
    "Orchestration": ("TaskHistoryRetentionLimit",),
    "Raft": ("SnapshotInterval", "KeepOldSnapshots", "LogEntriesForSlowFollowers", "ElectionTick", "HeartbeatTick"),
    "Dispatcher": ("HeartbeatPeriod",),
    "CAConfig": ("NodeCertExpiry",),
}


def cluster_document(cluster: ClusterView) -> dict[str, Any]:
    """`GET /swarm` without join tokens: the cluster, with Docker's defaults for what Shoal does not have."""
    return {
        "ID": cluster.id,
        "Version": {"Index": max(cluster.settings_version, 0)},
        "CreatedAt": NEVER,
        "UpdatedAt": NEVER,
        "Spec": _as_kept(cluster.swarm_spec),
        "TLSInfo": tls_document(cluster.ca_certificate),
        "RootRotationInProgress": False,
        "DefaultAddrPool": None if cluster.usual_address_pools else list(cluster.address_pools.pools),
        "SubnetSize": cluster.address_pools.prefix_length,
        "DataPathPort": VXLAN_PORT,
    }


def read_swarm_spec(document: Mapping[str, Any], version: ApiVersion) -> bytes:
    """The spec of `init` and `update`, as it is kept: clients read what they wrote, and the cluster does not use it.

    Raises:
        ApiError: 400, something is not valid or too long; 501, managers are to be locked.
    """
    body = Fields(document, "Spec")
    body.text("Name")
    body.text_map("Labels")
    for part, keys in _NUMBERS.items():
        for key in keys:
            if body.nested(part).number(key) < 0:
                raise body.nested(part).invalid(key, "must not be negative")
    body.nested("TaskDefaults")
    if body.nested("EncryptionConfig").boolean("AutoLockManagers"):
        raise not_implemented(NO_AUTOLOCK)
    kept = keep(document, version)
    if not kept:
        raise body.invalid("Labels", f"the spec is longer than {MAX_KEPT_BYTES:,} bytes")
    return kept


def read_address_pools(body: Fields) -> AddressPools:
    """`DefaultAddrPool` and `SubnetSize` of `init`; empty: the usual ones.

    Docker tells the usual pool of a client that says nothing (docker-py), and null of one that says the usual size (its
    own CLI).

    Raises:
        ApiError: 400, the size is out of range.
    """
    pools, size = body.texts("DefaultAddrPool"), body.count("SubnetSize")
    if not pools and size == PREFIX_LENGTH:
        return AddressPools()
    return AddressPools(pools=pools or [DEFAULT_POOL], prefix_length=size or PREFIX_LENGTH)


def check_data_path(body: Fields) -> None:
    """
    Raises:
        ApiError: 501, networks between hosts are to use another port than they do.
    """
    if body.count("DataPathPort") not in (0, VXLAN_PORT):
        raise not_implemented(f"{OTHER_DATA_PORT}; it is {VXLAN_PORT}, unless an agent was started with another one")


def join_tokens_document(tokens: Iterable[JoinTokenView]) -> dict[str, str]:
    """`JoinTokens`. Tokens are shown only at their creation, so their ids stand for them: they change as tokens do."""
    return {"Worker": ",".join(sorted(each.id for each in tokens)), "Manager": ""}


def tls_document(authority: bytes) -> dict[str, str]:
    """`TLSInfo`: the cluster's authority (PEM), and who it says it is."""
    try:
        certificate = x509.load_pem_x509_certificate(authority)
    except ValueError:
        return {"TrustRoot": "", "CertIssuerSubject": "", "CertIssuerPublicKey": ""}
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "TrustRoot": authority.decode(),
        "CertIssuerSubject": base64.b64encode(certificate.subject.public_bytes()).decode(),
        "CertIssuerPublicKey": base64.b64encode(key).decode(),
    }


def _as_kept(kept: bytes) -> dict[str, Any]:
    """The spec that a client has sent last, on top of the defaults."""
    sent, defaults = read_kept(kept), _spec()
    if sent is None:
        return defaults
    return as_sent(defaults, defaults, {key: value for key, value in sent[0].items() if key in defaults})


def _spec() -> dict[str, Any]:
    return {
        "Name": "default",
        "Labels": {},
        "Orchestration": {"TaskHistoryRetentionLimit": 5},
        "Raft": {
            "SnapshotInterval": 10000,
            "KeepOldSnapshots": 0,
            "LogEntriesForSlowFollowers": 500,
            "ElectionTick": 10,
            "HeartbeatTick": 1,
        },
        "Dispatcher": {"HeartbeatPeriod": HEARTBEAT_NS},
        "CAConfig": {"NodeCertExpiry": NODE_CERTIFICATE_NS},
        "TaskDefaults": {},
        "EncryptionConfig": {"AutoLockManagers": False},
    }
