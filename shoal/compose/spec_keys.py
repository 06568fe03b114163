"""Which Compose key each field of a spec comes from, so that the manager's errors can name it.

The most exact rule counts. Where a field may come from several keys, the first one in the file counts.
"""

from collections.abc import Iterator, Mapping

from shoal.compose.reading.yaml_tree import YamlPath

_LIMITS = "deploy.resources.limits"
_RESERVED = "deploy.resources.reservations"

_SERVICE_KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("",),
    "name": ("",),
    "stack": ("",),
    "engine_request": ("",),
    "labels": ("deploy.labels",),
    "mode": ("deploy.mode",),
    "global": ("deploy.mode",),
    "global_job": ("deploy.mode",),
    "replicated": ("deploy.replicas", "scale", "deploy.mode"),
    "replicated.replicas": ("deploy.replicas", "scale"),
    "replicated_job": ("deploy.replicas", "scale", "deploy.mode"),
    "replicated_job.total_completions": ("deploy.replicas", "scale"),
    "replicated_job.max_concurrent": ("deploy.x-max-concurrent",),
    "schedule": ("schedule", "x-schedule"),
    "autoscale": ("deploy.x-autoscale",),
    "autoscale.min_replicas": ("deploy.x-autoscale.min",),
    "autoscale.max_replicas": ("deploy.x-autoscale.max",),
    "autoscale.cpu_percent": ("deploy.x-autoscale.cpu",),
    "autoscale.memory_percent": ("deploy.x-autoscale.memory",),
    "autoscale.up_cooldown_ms": ("deploy.x-autoscale.up-cooldown",),
    "autoscale.down_cooldown_ms": ("deploy.x-autoscale.down-cooldown",),
    "priority": ("deploy.x-priority",),
    "task.stop_on_disconnect_ms": ("deploy.x-stop-on-disconnect",),
    "depends_on": ("depends_on", "links"),
    "endpoint": ("ports", "deploy.endpoint_mode"),
    "endpoint.ports": ("ports",),
    "endpoint.ports.host_address": ("ports.host_ip",),
    "endpoint.ports.local_only": ("ports.x-traffic",),
    "endpoint.ports.published_first": ("ports.published",),
    "endpoint.ports.published_last": ("ports.published",),
    "endpoint.mode": ("deploy.endpoint_mode",),
    "task": ("",),
    "task.force_update": ("",),
    "task.build_id": ("",),
    "task.networks": ("networks", "network_mode"),
    "task.networks.network": ("networks", "network_mode"),
    "task.networks.address": ("networks.ipv4_address",),
    "task.networks.address6": ("networks.ipv6_address",),
    "task.log": ("logging.options", "logging"),
    "task.log.disabled": ("logging.driver",),
    "task.log.max_bytes": ("logging.options.max-size",),
    "task.log.max_files": ("logging.options.max-file",),
    "task.limits": (_LIMITS,),
    **{f"task.limits.generic_resources{field}": (_LIMITS,) for field in ("", ".kind", ".count", ".names")},
    "task.limits.nano_cpus": (f"{_LIMITS}.cpus", "cpus"),
    "task.limits.memory_bytes": (f"{_LIMITS}.memory", "mem_limit"),
    "task.limits.pids": (f"{_LIMITS}.pids", "pids_limit"),
    "task.reservations": (_RESERVED,),
    "task.reservations.pids": (_RESERVED,),
    "task.reservations.nano_cpus": (f"{_RESERVED}.cpus",),
    "task.reservations.memory_bytes": (f"{_RESERVED}.memory", "mem_reservation"),
    "task.reservations.generic_resources": (
        f"{_RESERVED}.generic_resources",
        f"{_RESERVED}.devices",
        "gpus",
        "devices",
    ),
    "task.restart": ("deploy.restart_policy", "restart"),
    "task.restart.condition": ("deploy.restart_policy.condition", "restart"),
    "task.restart.delay_ms": ("deploy.restart_policy.delay",),
    "task.restart.max_attempts": ("deploy.restart_policy.max_attempts", "restart"),
    "task.restart.window_ms": ("deploy.restart_policy.window",),
    "task.placement": ("deploy.placement",),
    "task.placement.constraints": ("deploy.placement.constraints", "platform"),
    "task.placement.spread": ("deploy.placement.preferences",),
    "task.placement.preferences.binpack": ("deploy.placement.preferences.x-binpack",),
    "task.placement.preferences.weight": ("deploy.placement.preferences.x-weight",),
    "task.placement.affinities": ("deploy.placement.x-affinities",),
    "task.placement.max_per_node": ("deploy.placement.max_replicas_per_node",),
    "task.placement.platforms": ("image",),
    "task.container": ("",),
    "task.container.name": ("container_name",),
    "task.container.stdin_once": ("stdin_open",),
    "task.container.pid_container": ("pid",),
    "task.container.ipc_container": ("ipc",),
    "task.container.mac_address": ("networks",),
    "task.container.env": ("environment", "env_file"),
    "task.container.groups": ("group_add",),
    "task.container.labels": ("labels", "label_file"),
    "task.container.stop_grace_ms": ("stop_grace_period",),
    "task.container.drain_ms": ("x-drain-timeout",),
    "task.container.shm_bytes": ("shm_size",),
    "task.container.mounts": ("volumes", "tmpfs"),
    "task.container.mounts.tmpfs_bytes": ("volumes.tmpfs.size", "tmpfs"),
    "task.container.mounts.tmpfs_mode": ("volumes.tmpfs.mode", "tmpfs"),
    "task.container.mounts.tmpfs_options": ("tmpfs", "volumes"),
    "task.container.mounts.propagation": ("volumes.bind.propagation",),
    "task.container.mounts.recursive": ("volumes.bind.recursive",),
    "task.container.mounts.create_source": ("volumes.bind.create_host_path",),
    "task.container.mounts.volume.no_copy": ("volumes.volume.nocopy",),
    "task.container.mounts.volume.per_slot": ("volumes.x-per-slot",),
    "task.container.mounts.volume.failover_after_ms": ("volumes.x-failover-after",),
    "task.container.mounts.shared": ("volumes.x-shared",),
    "task.container.mounts.volume.labels": ("volumes.volume.labels",),
    "task.container.dns.nameservers": ("dns",),
    "task.container.dns.search": ("dns_search",),
    "task.container.dns.options": ("dns_opt",),
    "task.container.dns": ("dns",),
    "task.container.seccomp": ("security_opt",),
    "task.container.apparmor": ("security_opt",),
    "task.container.no_new_privileges": ("security_opt",),
    "task.container.unmasked_paths": ("security_opt",),
    "task.container.host_namespaces": ("pid", "ipc", "uts"),
    "task.container.host_namespaces.pid": ("pid",),
    "task.container.host_namespaces.ipc": ("ipc",),
    "task.container.host_namespaces.uts": ("uts",),
    "task.container.block_io": ("blkio_config",),
    "task.container.block_io.weights": ("blkio_config.weight_device",),
    **{
        f"task.container.block_io.{way}_{unit}": (f"blkio_config.device_{way}_{unit}",)
        for way in ("read", "write")
        for unit in ("bps", "iops")
    },
    "task.container.cpu": ("cpus",),
    "task.container.cpu.cpuset_cpus": ("cpuset",),
    "task.container.cpu.cpuset_mems": ("cpuset",),
    "task.container.cpu.shares": ("cpu_shares",),
    "task.container.cpu.quota_us": ("cpu_quota",),
    "task.container.cpu.period_us": ("cpu_period",),
    "task.container.memory": ("mem_limit",),
    "task.container.memory.swap_bytes": ("memswap_limit",),
    "task.container.memory.swappiness": ("mem_swappiness",),
    "task.container.memory.reservation_bytes": ("mem_reservation",),
    "task.container.memory.oom_kill_disable": ("oom_kill_disable",),
    "task.container.healthcheck": ("healthcheck", "x-healthcheck"),
    "task.container.healthcheck.disabled": ("healthcheck.disable",),
    "task.container.healthcheck.http": ("x-healthcheck.http",),
    "task.container.healthcheck.tcp": ("x-healthcheck.tcp",),
    **{
        f"task.container.{moment}.{field}": (f"{moment}.{key}",)
        for moment in ("post_start", "pre_stop")
        for field, key in (
            ("command", "command"),
            ("user", "user"),
            ("working_dir", "working_dir"),
            ("env", "environment"),
            ("privileged", "privileged"),
        )
    },
    "task.container.secrets.policy": ("secrets.x-policy",),
    "task.container.configs.policy": ("configs.x-policy",),
    **{
        f"task.container.healthcheck.{name}{unit}": (f"healthcheck.{name}", f"x-healthcheck.{name}")
        for name, unit in (
            ("interval", "_ms"),
            ("timeout", "_ms"),
            ("start_period", "_ms"),
            ("start_interval", "_ms"),
            ("retries", ""),
        )
    },
    **{
        f"{spec}{field}": (f"deploy.{spec}_config{key}",)
        for spec in ("update", "rollback")
        for field, key in (
            ("", ""),
            (".delay_ms", ".delay"),
            (".monitor_ms", ".monitor"),
            (".progress_deadline_ms", ".x-progress-deadline"),
            (".canary", ".x-canary"),
            (".auto_promote", ".x-auto-promote"),
        )
    },
}

_FILE: Mapping[str, tuple[str, ...]] = {
    "": ("",),
    "stack": ("",),
    "content": ("file", "environment", "content"),
    "template": ("template_driver",),
}

_RESOURCE_KEYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "networks": {
        "": ("",),
        "stack": ("",),
        "engine_request": ("",),
        "options": ("driver_opts",),
        "ipv6": ("enable_ipv6",),
        **{
            f"{field}{six}": (f"ipam.config.{key}", "ipam")
            for field, key in (
                ("subnet", "subnet"),
                ("gateway", "gateway"),
                ("ip_range", "ip_range"),
                ("aux_addresses", "aux_addresses"),
            )
            for six in ("", "6")
        },
    },
    "volumes": {
        "": ("",),
        "stack": ("",),
        "engine_request": ("",),
        "options": ("driver_opts",),
        "size_bytes": ("x-size",),
        "limit_bytes": ("x-size",),
        "access_mode": ("x-access-mode",),
        "secrets": ("x-secrets",),
    },
    "secrets": _FILE,
    "configs": _FILE,
}


def compose_keys(section: str, field: YamlPath) -> Iterator[tuple[YamlPath, YamlPath]]:
    """The keys that a field may come from, and the rest of the field: indexes, and what is inside.

    A field without a rule of its own is a key of the same name below that of the rule.

    Args:
        section: "services", "networks" …
        field: below the spec, ("task", "container", "dns", "search", 0).
    """
    rules = _SERVICE_KEYS if section == "services" else _RESOURCE_KEYS[section]
    names = [part for part in field if isinstance(part, str)]
    depth = next(length for length in range(len(names), -1, -1) if ".".join(names[:length]) in rules)
    taken = [index for index, part in enumerate(field) if isinstance(part, str)][:depth]
    rest = field[taken[-1] + 1 :] if taken else field
    same = 1 if rest and isinstance(rest[0], str) else 0
    inside = tuple(part for part in field[: taken[-1] if taken else 0] if isinstance(part, int))
    for key in rules[".".join(names[:depth])]:
        yield (*_with_index(tuple(filter(None, key.split("."))), inside), *rest[:same]), rest[same:]


def _with_index(key: YamlPath, indexes: YamlPath) -> YamlPath:
    """An index that stood within the field stands behind the key of the list: ports[1].host_ip."""
    if not indexes:
        return key
    hooks = ("post_start", "pre_stop")
    lists = (*hooks, "ports", "volumes", "networks", "preferences", "secrets", "configs", "config", "generic_resources")
    depth = next((number for number, part in enumerate(key, 1) if part in lists), len(key))
    return (*key[:depth], indexes[0], *key[depth:])
