"""Convert the keys of a service that Docker has in HostConfig: CPU, memory, namespaces, devices."""

from collections.abc import Callable, Mapping
from typing import Any

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.compose.conversion.device_requests import request_gpus
from shoal.compose.reading.scalar_values import (
    parse_bool,
    parse_int,
    parse_size,
    scalar_text,
    string_list,
    string_mapping,
)
from shoal.errors import InvalidInput
from shoal.spec_parsers.host_config import add_device, check_userns_mode, set_host_namespace, set_swap
from shoal.spec_parsers.units import parse_bytes, parse_duration_ms, parse_nano_cpus

Setter = Callable[[ServiceSpec, Any], None]


def _sharing(namespace: str) -> Setter:
    return lambda spec, value: set_host_namespace(spec, namespace, scalar_text(value))


def _cpu(field: str, parse: Callable[[Any], Any] = parse_int) -> Setter:
    return lambda spec, value: setattr(spec.task.container.cpu, field, parse(value))


def _microseconds(value: Any) -> int:
    """A number, or a duration such as "10ms"."""
    text = scalar_text(value)
    return int(text) if text.isdigit() else parse_duration_ms(text) * 1000


def _limit(field: str, amount: Callable[[Any], int]) -> Setter:
    """The same as the field in `deploy.resources.limits`: both may be given only when they agree."""

    def setter(spec: ServiceSpec, value: Any) -> None:
        setattr(spec.task.limits, field, amount(value))

    return setter


def _cpus(value: Any) -> int:
    return parse_nano_cpus(scalar_text(value))


def _block_io(spec: ServiceSpec, value: Mapping[str, Any]) -> None:
    """`blkio_config`: weights and bounds of block devices."""
    made = spec.task.container.block_io
    made.weight = parse_int(value.get("weight") or 0)
    for key, (field, amount) in _BLOCK_DEVICE_KEYS.items():
        for entry in value.get(key) or []:
            of_device = scalar_text(entry["weight" if key == "weight_device" else "rate"])
            getattr(made, field).add(path=scalar_text(entry["path"]), amount=amount(of_device))


_BLOCK_DEVICE_KEYS: Mapping[str, tuple[str, Callable[[str], int]]] = {
    "weight_device": ("weights", parse_int),
    "device_read_bps": ("read_bps", parse_bytes),
    "device_write_bps": ("write_bps", parse_bytes),
    "device_read_iops": ("read_iops", parse_int),
    "device_write_iops": ("write_iops", parse_int),
}


def _devices(spec: ServiceSpec, value: Any) -> None:
    for entry in value:
        if isinstance(entry, Mapping):
            parts = [entry.get("source"), entry.get("target"), entry.get("permissions")]
            add_device(spec, ":".join(str(part) for part in parts if part))
        else:
            add_device(spec, scalar_text(entry))


def _rules(spec: ServiceSpec, value: Any) -> None:
    spec.task.container.device_cgroup_rules.extend(string_list(value))


def _reservation(spec: ServiceSpec, value: Any) -> None:
    """What the scheduler reserves, and the soft limit of the kernel."""
    spec.task.container.memory.reservation_bytes = parse_size(value)
    spec.task.reservations.memory_bytes = spec.task.reservations.memory_bytes or parse_size(value)


def _swappiness(spec: ServiceSpec, value: Any) -> None:
    spec.task.container.memory.swappiness = parse_int(value)


def _no_oom_kill(spec: ServiceSpec, value: Any) -> None:
    spec.task.container.memory.oom_kill_disable = parse_bool(value)


def _annotations(spec: ServiceSpec, value: Any) -> None:
    spec.task.container.annotations.update(string_mapping(value))


def _cgroup(_: ServiceSpec, value: Any) -> None:
    if value != "private":
        raise InvalidInput(f"{value!r} is not supported; use private")


def _pull_policy(_: ServiceSpec, value: Any) -> None:
    """A deployment resolves the tag at the registry, and nodes pull that very image where they lack it."""
    if value not in _ACCEPTED_PULL_POLICIES:
        raise InvalidInput(
            f"{value!r} is not supported: images are pinned by digest and pulled where they are missing; "
            f"omit it or use one of {', '.join(_ACCEPTED_PULL_POLICIES)}"
        )


_ACCEPTED_PULL_POLICIES = ("always", "missing", "if_not_present")


def _flag(field: str) -> Setter:
    return lambda spec, value: setattr(spec.task.container, field, parse_bool(value))


def _domain(spec: ServiceSpec, value: Any) -> None:
    spec.task.container.domainname = scalar_text(value)


SETTERS: Mapping[str, Setter] = {
    "blkio_config": _block_io,
    "pull_policy": _pull_policy,
    "init": _flag("init"),
    "stdin_open": _flag("stdin_open"),
    "domainname": _domain,
    "pid": _sharing("pid"),
    "ipc": lambda spec, value: set_host_namespace(
        spec, "ipc", "private" if value == "shareable" else scalar_text(value)
    ),
    "uts": _sharing("uts"),
    "userns_mode": lambda spec, value: check_userns_mode(spec, scalar_text(value)),
    "cgroup": _cgroup,
    "devices": _devices,
    "gpus": request_gpus,
    "device_cgroup_rules": _rules,
    "cpus": _limit("nano_cpus", _cpus),
    "cpuset": _cpu("cpuset_cpus", scalar_text),
    "cpu_shares": _cpu("shares"),
    "cpu_quota": _cpu("quota_us", _microseconds),
    "cpu_period": _cpu("period_us", _microseconds),
    "mem_limit": _limit("memory_bytes", parse_size),
    "mem_reservation": _reservation,
    "memswap_limit": lambda spec, value: set_swap(spec, scalar_text(value)),
    "mem_swappiness": _swappiness,
    "pids_limit": _limit("pids", parse_int),
    "oom_kill_disable": _no_oom_kill,
    "annotations": _annotations,
}

SAME_AS_LIMITS = {"cpus": "cpus", "mem_limit": "memory", "pids_limit": "pids"}
"""Keys of a service with the same meaning as one of `deploy.resources.limits`."""


def conflicting_limits(service: Mapping[str, Any]) -> list[str]:
    """Keys whose limit is another one in `deploy.resources.limits`."""
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    both = [(key, same) for key, same in SAME_AS_LIMITS.items() if key in service and same in limits]
    return [key for key, same in both if _amount(key, service[key]) != _amount(key, limits[same])]


def _amount(key: str, value: Any) -> Any:
    try:
        return {"cpus": _cpus, "mem_limit": parse_size, "pids_limit": parse_int}[key](value)
    except InvalidInput:  # reported already
        return value
