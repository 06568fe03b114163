"""Gauges of etcd's members. Pure."""

from collections.abc import Sequence

from manager.etcd.maintenance import MemberStatus
from shoal.metrics.families import MetricFamily, MetricType, gauge


def etcd_families(members: Sequence[MemberStatus], *, connected: bool, quota_bytes: int) -> list[MetricFamily]:
    """Of each member that this manager is configured with, by its endpoint.

    Args:
        connected: whether etcd answers this manager.
        quota_bytes: of the manager's own etcd; 0: another one, whose quota is not known here.
    """
    answering = [each for each in members if each.version]
    return [
        gauge("shoal_etcd_connected", "Whether etcd answers this manager.", connected),
        _family(
            "shoal_etcd_up", "Whether the member answers.", {each.endpoint: bool(each.version) for each in members}
        ),
        _family(
            "shoal_etcd_database_bytes",
            "Size of the member's database file, which the quota is for.",
            {each.endpoint: each.database_bytes for each in answering},
        ),
        _family(
            "shoal_etcd_database_used_bytes",
            "Bytes in use in it; the rest is freed by shoal cluster compact.",
            {each.endpoint: each.used_bytes for each in answering},
        ),
        _family(
            "shoal_etcd_is_leader",
            "Whether the member leads etcd.",
            {each.endpoint: each.is_leader for each in answering},
        ),
        _family(
            "shoal_etcd_alarm",
            "Whether the member has an alarm: no space, or damaged data.",
            {each.endpoint: bool(each.problem) for each in answering},
        ),
        *([gauge("shoal_etcd_quota_bytes", "Space quota of the database.", quota_bytes)] if quota_bytes else []),
    ]


def _family(name: str, text: str, values: dict[str, float] | dict[str, bool] | dict[str, int]) -> MetricFamily:
    return MetricFamily(name, MetricType.GAUGE, text, ("endpoint",), {(each,): float(values[each]) for each in values})
