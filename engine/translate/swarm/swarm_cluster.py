"""The cluster as a swarm. Pure."""

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.protocol.go_times import NEVER
from shoal.api.v1.control_pb2 import ClusterView

HEARTBEAT_NS = 2_000_000_000
NODE_CERTIFICATE_NS = 7_776_000_000_000_000
VXLAN_PORT = 4789
SUBNET_SIZE = 24


def cluster_document(cluster: ClusterView) -> dict[str, Any]:
    """`GET /swarm` without join tokens: the cluster, with Docker's defaults for what Shoal does not have."""
    return {
        "ID": cluster.id,
        "Version": {"Index": 1},
        "CreatedAt": NEVER,
        "UpdatedAt": NEVER,
        "Spec": _spec(),
        "TLSInfo": tls_document(cluster.ca_certificate),
        "RootRotationInProgress": False,
        "DefaultAddrPool": None,
        "SubnetSize": SUBNET_SIZE,
        "DataPathPort": VXLAN_PORT,
    }


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
