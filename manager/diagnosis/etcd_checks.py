"""What etcd's members say of themselves. Pure."""

from collections.abc import Sequence

from manager.cluster.cluster_handler import StoreMemberStatus
from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.host_checks.findings import failed, passed, warning
from shoal.unit_formats import size

NEAR_QUOTA, AT_QUOTA = 0.8, 0.95
MIN_FRAGMENTED_BYTES = 256 << 20
_COMPACT = "run `shoal cluster compact`"
_MIB = 1 << 20


def etcd_checks(members: Sequence[StoreMemberStatus], quota_bytes: int) -> list[DiagnosisCheck]:
    """Of the members that the answering manager knows.

    Args:
        quota_bytes: of the manager's own etcd; 0: another one.
    """
    if not members:
        return [failed("etcd", "no member responds", "start the managers, or the etcd cluster, that are down")]
    checks = [check for member in members for check in _member(member, quota_bytes)]
    versions = sorted({member.version for member in members if member.version})
    if len(versions) > 1:
        checks.append(warning("etcd versions", f"mixed: {', '.join(versions)}", "upgrade the others"))
    return checks


def _member(member: StoreMemberStatus, quota_bytes: int) -> list[DiagnosisCheck]:
    name = f"etcd {member.endpoint}"
    if not member.version:
        return [failed(name, member.problem or "no response", "start it, or check the network to it")]
    if member.problem:
        return [failed(name, member.problem, _COMPACT)]
    return [passed(name, f"version {member.version}"), _space(member, quota_bytes), _fragmentation(member)]


def _space(member: StoreMemberStatus, quota_bytes: int) -> DiagnosisCheck:
    name, used = f"etcd size {member.endpoint}", size(member.database_bytes)
    if not quota_bytes:
        return passed(name, f"{used}; the quota of an external etcd is not known here")
    part = member.database_bytes / quota_bytes
    found = f"{used} of {size(quota_bytes)}"
    if part > AT_QUOTA:
        return failed(name, found, _COMPACT)
    return warning(name, found, _COMPACT) if part > NEAR_QUOTA else passed(name, found)


def _fragmentation(member: StoreMemberStatus) -> DiagnosisCheck:
    free = member.database_bytes - member.used_bytes
    found = f"{size(free)} of {size(member.database_bytes)} can be freed"
    name = f"etcd fragmentation {member.endpoint}"
    if free > MIN_FRAGMENTED_BYTES and free > member.database_bytes // 2:
        return warning(name, found, _COMPACT)
    return passed(name, found)
