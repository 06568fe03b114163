"""Translate the manager's errors, which name fields of specs, to flags."""

import re
from collections.abc import Mapping, Sequence

from shoal.errors import Fault

_UPDATE_FIELDS = (
    "parallelism",
    "delay",
    "order",
    "monitor",
    "failure_action",
    "max_failure_ratio",
    "progress_deadline",
)
_SAME_NAME_FIELDS = (
    "user",
    "hostname",
    "domainname",
    "entrypoint",
    "stop_signal",
    "runtime",
    "cap_add",
    "cap_drop",
    "oom_score_adj",
)
_PREFIXED_FIELDS = {
    "update": _UPDATE_FIELDS,
    "rollback": _UPDATE_FIELDS,
    "task.container.healthcheck": ("interval", "timeout", "retries", "start_period", "start_interval"),
    "task.restart": ("condition", "delay", "max_attempts", "window"),
    "schedule": ("timezone", "overlap", "missed", "history"),
}


def _flag_prefix(section: str) -> str:
    return section.rpartition(".")[2].removesuffix("check")


_FLAGS = {
    "name": "--name",
    "labels": "--label",
    "mode": "--mode",
    "priority": "--priority",
    "task.stop_on_disconnect_ms": "--stop-on-disconnect",
    "depends_on": "--depends-on",
    "autoscale": "--autoscale",
    "schedule": "--schedule",
    "replicated": "--replicas",
    "replicated_job.total_completions": "--replicas",
    "replicated_job.max_concurrent": "--max-concurrent",
    "update.canary": "--update-canary",
    "update.auto_promote": "--update-auto-promote",
    "endpoint.ports": "--publish",
    "endpoint.mode": "--endpoint-mode",
    "task.networks": "--network",
    "task.limits.nano_cpus": "--limit-cpu",
    "task.limits.memory_bytes": "--limit-memory",
    "task.limits.pids": "--limit-pids",
    "task.reservations.nano_cpus": "--reserve-cpu",
    "task.reservations.memory_bytes": "--reserve-memory",
    "task.reservations.generic_resources": "--generic-resource",
    "task.placement.constraints": "--constraint",
    "task.placement.preferences": "--placement-pref",
    "task.placement.spread": "--placement-pref",
    "task.placement.affinities": "--affinity",
    "task.placement.max_per_node": "--replicas-max-per-node",
    "task.log.max_bytes": "--log-max-size",
    "task.log.max_files": "--log-max-files",
    "task.log.disabled": "--log-driver",
    "task.container.image": "image",
    "task.container.command": "command",
    "task.container.env": "--env",
    "task.container.labels": "--container-label",
    "task.container.working_dir": "--workdir",
    "task.container.groups": "--group",
    "task.container.extra_hosts": "--host",
    "task.container.mounts": "--mount",
    "task.container.secrets": "--secret",
    "task.container.configs": "--config",
    "task.container.shm_bytes": "--shm-size",
    "task.container.stop_grace_ms": "--stop-grace-period",
    "task.container.drain_ms": "--drain-timeout",
    "task.container.dns.nameservers": "--dns",
    "task.container.dns.search": "--dns-search",
    "task.container.dns.options": "--dns-option",
    "task.container.devices": "--device",
    "task.container.device_cgroup_rules": "--device-cgroup-rule",
    "task.container.seccomp": "--security-opt",
    "task.container.apparmor": "--security-opt",
    "task.container.sysctls": "--sysctl",
    "task.container.ulimits": "--ulimit",
    "task.container.annotations": "--annotation",
    "task.container.healthcheck.test": "--health-cmd",
    "task.container.healthcheck.http": "--health-http",
    "task.container.healthcheck.tcp": "--health-tcp",
    "task.container.block_io.weight": "--blkio-weight",
    "task.container.block_io.weights": "--blkio-weight-device",
    **{
        f"task.container.block_io.{way}_{unit}": f"--device-{way}-{unit}"
        for way in ("read", "write")
        for unit in ("bps", "iops")
    },
    "task.container.cpu.shares": "--cpu-shares",
    "task.container.cpu.period_us": "--cpu-period",
    "task.container.cpu.quota_us": "--cpu-quota",
    "task.container.cpu.cpuset_cpus": "--cpuset-cpus",
    "task.container.cpu.cpuset_mems": "--cpuset-mems",
    "task.container.memory.swap_bytes": "--memory-swap",
    "task.container.memory.swappiness": "--memory-swappiness",
    "task.container.memory.reservation_bytes": "--memory-reservation",
    **{f"task.container.{field}": f"--{field.replace('_', '-')}" for field in _SAME_NAME_FIELDS},
    **{
        f"{section}.{field}{unit}": f"--{_flag_prefix(section)}-{field.replace('_', '-')}"
        for section, fields in _PREFIXED_FIELDS.items()
        for field in fields
        for unit in ("", "_ms")
    },
}
"""The flag of a field, or of all fields below it."""

_MENTIONED_FIELDS = re.compile(r"task\.(?:reservations|limits)\.(?:nano_cpus|memory_bytes)")
"""Fields that a fault of another one names."""
_INDEX = re.compile(r"\[\d+\]")


def faults_by_flag(faults: Sequence[Fault]) -> list[Fault]:
    """The manager's faults of a spec by the flags that set them; a field without a flag keeps its path."""
    return [
        Fault(flag_of_field(fault.path) or fault.path, _MENTIONED_FIELDS.sub(_mentioned_flag, fault.message))
        for fault in faults
    ]


def _mentioned_flag(mention: re.Match[str]) -> str:
    return f"`{_FLAGS[mention[0]]}`"


def flag_of_field(path: str, flags: Mapping[str, str] = _FLAGS) -> str:
    """The flag of a field, or of the field that it is part of; empty if there is none."""
    parts = _INDEX.sub("", path).split(".")
    known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((flags[field] for field in known if field in flags), "")
