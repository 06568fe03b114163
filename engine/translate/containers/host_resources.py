"""Limits and devices: `Resources`, a part of `HostConfig`, and a task's template. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.translate.fields import Fields
from shoal.api.v1.container_pb2 import BlockIo, Device, Ulimit
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.cdi_names import NVIDIA

UNLIMITED = -1

_WINDOWS = "it only applies to Windows"
_REAL_TIME = "the kernel's real-time scheduling of cgroups is not available to containers"
_REFUSED: Mapping[str, str] = {
    "CgroupParent": "containers run in cgroups managed by Shoal; use NanoCpus and Memory",
    "CpuRealtimePeriod": _REAL_TIME,
    "CpuRealtimeRuntime": _REAL_TIME,
    "CpuCount": _WINDOWS,
    "CpuPercent": _WINDOWS,
    "IOMaximumIOps": _WINDOWS,
    "IOMaximumBandwidth": _WINDOWS,
}
"""Keys that must be empty, and why."""

_THROTTLES = {
    "BlkioDeviceReadBps": "read_bps",
    "BlkioDeviceWriteBps": "write_bps",
    "BlkioDeviceReadIOps": "read_iops",
    "BlkioDeviceWriteIOps": "write_iops",
}


def read_resources(host: Fields, task: TaskTemplate) -> None:
    """Put the limits of `HostConfig` into a template.

    Raises:
        ApiError: 400, a value cannot be honoured.
    """
    for key, why in _REFUSED.items():
        if host.value(key):
            raise host.invalid(key, f"is not supported: {why}")
    task.limits.SetInParent()
    task.limits.nano_cpus = _amount(host, "NanoCpus")
    task.limits.pids = max(host.number("PidsLimit"), UNLIMITED)
    _read_cpu(host, task)
    _read_memory(host, task)
    _read_block_io(host, task.container.block_io)
    _read_devices(host, task)
    task.container.ulimits.extend(_ulimit(entry) for entry in host.nested_list("Ulimits"))


def resources_document(task: TaskTemplate) -> dict[str, Any]:
    """The keys of `HostConfig` that `read_resources` reads, of a template."""
    container, cpu, memory = task.container, task.container.cpu, task.container.memory
    return {
        "CpuShares": cpu.shares,
        "Memory": task.limits.memory_bytes,
        "NanoCpus": task.limits.nano_cpus,
        "CgroupParent": "",
        "BlkioWeight": container.block_io.weight,
        "BlkioWeightDevice": [{"Path": each.path, "Weight": each.amount} for each in container.block_io.weights],
        **{key: _throttle_document(getattr(container.block_io, field)) for key, field in _THROTTLES.items()},
        "CpuPeriod": cpu.period_us,
        "CpuQuota": cpu.quota_us,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": cpu.cpuset_cpus,
        "CpusetMems": cpu.cpuset_mems,
        "Devices": [_device_document(each) for each in container.devices],
        "DeviceCgroupRules": list(container.device_cgroup_rules) or None,
        "DeviceRequests": [_request_document(each) for each in task.reservations.generic_resources] or None,
        "MemoryReservation": memory.reservation_bytes,
        "MemorySwap": memory.swap_bytes,
        "MemorySwappiness": memory.swappiness if memory.HasField("swappiness") else None,
        "OomKillDisable": memory.oom_kill_disable,
        "PidsLimit": task.limits.pids or None,
        "Ulimits": [{"Name": each.name, "Hard": each.hard, "Soft": each.soft} for each in container.ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _read_cpu(host: Fields, task: TaskTemplate) -> None:
    cpu = task.container.cpu
    cpu.cpuset_cpus, cpu.cpuset_mems = host.text("CpusetCpus"), host.text("CpusetMems")
    cpu.shares = _amount(host, "CpuShares")
    cpu.period_us = _amount(host, "CpuPeriod")
    cpu.quota_us = host.number("CpuQuota")
    if task.limits.nano_cpus and (cpu.period_us or cpu.quota_us):
        which = "CPU Period" if cpu.period_us else "CPU Quota"
        raise host.invalid("NanoCpus", f"Conflicting options: Nano CPUs and {which} cannot both be set.")


def _read_memory(host: Fields, task: TaskTemplate) -> None:
    memory, limit, swap = task.container.memory, _amount(host, "Memory"), host.number("MemorySwap")
    task.limits.memory_bytes = limit
    memory.reservation_bytes = _amount(host, "MemoryReservation")
    memory.oom_kill_disable = host.boolean("OomKillDisable")
    if swap and not limit and swap != UNLIMITED:
        raise host.invalid("MemorySwap", "You should always set the Memory limit when using Memoryswap limit")
    if 0 < swap < limit:
        raise host.invalid("MemorySwap", "Minimum memoryswap limit should be larger than memory limit, see usage")
    if swap or limit:  # with a limit alone, Docker gives as much swap again
        memory.swap_bytes = swap if swap else 2 * limit
    swappiness = host.number("MemorySwappiness") if host.has("MemorySwappiness") else UNLIMITED
    if not UNLIMITED <= swappiness <= 100:
        raise host.invalid("MemorySwappiness", f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if swappiness != UNLIMITED:
        memory.swappiness = swappiness


def _read_block_io(host: Fields, block_io: BlockIo) -> None:
    block_io.weight = _amount(host, "BlkioWeight")
    for entry in host.nested_list("BlkioWeightDevice"):
        block_io.weights.add(path=entry.text("Path"), amount=_amount(entry, "Weight"))
    for key, field in _THROTTLES.items():
        for entry in host.nested_list(key):
            getattr(block_io, field).add(path=entry.text("Path"), amount=_amount(entry, "Rate"))


def _read_devices(host: Fields, task: TaskTemplate) -> None:
    container = task.container
    for entry in host.nested_list("Devices"):
        source, target = entry.text("PathOnHost"), entry.text("PathInContainer")
        permissions = entry.text("CgroupPermissions")
        container.devices.add(
            source=source,
            target="" if target == source else target,
            permissions="" if permissions == "rwm" else permissions,
        )
    container.device_cgroup_rules.extend(host.texts("DeviceCgroupRules"))
    task.reservations.generic_resources.extend(_request(entry) for entry in host.nested_list("DeviceRequests"))


def _request(entry: Fields) -> GenericResource:
    """GPUs by number or by name, and devices of the Container Device Interface."""
    driver, names, count = entry.text("Driver"), entry.texts("DeviceIDs"), entry.number("Count")
    if driver == "cdi":
        kinds = {name.partition("=")[0] for name in names}
        if len(kinds) != 1:
            raise entry.invalid("DeviceIDs", "must be devices of one kind, such as vendor.com/class=name")
        return GenericResource(kind=kinds.pop(), names=[name.partition("=")[2] for name in names])
    if driver not in ("", "nvidia"):
        raise entry.invalid("Driver", f"could not select device driver {driver!r}")
    if count < 0:
        raise entry.invalid("Count", "all GPUs of a node are not supported, since nodes have different numbers of them")
    if bool(names) == bool(count):
        raise entry.invalid("Count", "cannot set both Count and DeviceIDs on device request")
    return GenericResource(kind=NVIDIA, names=names) if names else GenericResource(kind=NVIDIA, count=count)


def _request_document(resource: GenericResource) -> dict[str, Any]:
    is_nvidia = resource.kind == NVIDIA
    return {
        "Driver": "nvidia" if is_nvidia else "cdi",
        "Count": resource.count,
        "DeviceIDs": [name if is_nvidia else f"{resource.kind}={name}" for name in resource.names] or None,
        "Capabilities": [["gpu"]] if is_nvidia else None,
        "Options": {},
    }


def _device_document(device: Device) -> dict[str, str]:
    return {
        "PathOnHost": device.source,
        "PathInContainer": device.target or device.source,
        "CgroupPermissions": device.permissions or "rwm",
    }


def _throttle_document(entries: Iterable[BlockIo.Device]) -> list[dict[str, Any]]:
    return [{"Path": each.path, "Rate": each.amount} for each in entries]


def _ulimit(entry: Fields) -> Ulimit:
    return Ulimit(name=entry.text("Name"), soft=entry.number("Soft"), hard=entry.number("Hard"))


def _amount(fields: Fields, key: str) -> int:
    """A number that is not negative."""
    value = fields.number(key)
    if value < 0:
        raise fields.invalid(key, f"{value} must not be negative")
    return value
