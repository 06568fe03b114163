"""Validation of devices, CPU and memory controls, and security profiles. Pure."""

import json
import re
from collections.abc import Iterator

from manager.validation import bounds
from manager.validation.containers.block_io_rules import check_block_io
from manager.validation.text_rules import check_absolute, check_hostname, check_range
from shoal.api.v1.container_pb2 import ContainerSpec, CpuTuning, Device, MemoryTuning
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.errors import Fault
from shoal.networks.network_modes import HOST, mode_of
from shoal.unit_formats import exact_size

_ACCESS = re.compile(r"r?w?m?")
_RULE = re.compile(r"[abc] (\d+|\*):(\d+|\*) [rwm]{1,3}")
_CPUS = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")
_ANNOTATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
# They configure the OCI runtime itself: hooks, other handlers, unit properties.
_RESERVED = ("run.oci.", "org.systemd.", "org.opencontainers.runc.", "module.wasm.")
_APPARMOR = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
"""Printable ASCII, no blanks around it, at most 255 characters: a line of the kernel's list of profiles."""
_ACTIONS = frozenset(
    f"SCMP_ACT_{name}" for name in ("KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG")
)


def check_tuning(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    """Every fault of these settings alone."""
    if spec.domainname:
        yield from check_hostname(f"{path}.domainname", spec.domainname)
    for index, device in enumerate(spec.devices):
        yield from _check_device(f"{path}.devices[{index}]", device)
    for index, rule in enumerate(spec.device_cgroup_rules):
        if not _RULE.fullmatch(rule):
            yield Fault(
                f"{path}.device_cgroup_rules[{index}]",
                f'"{rule[:80]}" must be a device cgroup rule such as "c 10:200 rwm"',
            )
    yield from _check_cpu(f"{path}.cpu", spec.cpu)
    yield from _check_memory(f"{path}.memory", spec.memory)
    yield from check_block_io(f"{path}.block_io", spec.block_io)
    for key in spec.annotations:
        if not _ANNOTATION.fullmatch(key) or key.startswith(_RESERVED):
            yield Fault(
                f"{path}.annotations",
                f'"{key[:80]}" is not a valid annotation, or is reserved for the container runtime',
            )
    if spec.apparmor and not _APPARMOR.fullmatch(spec.apparmor):
        yield Fault(f"{path}.apparmor", f'"{spec.apparmor[:80]}" must be the name of an AppArmor profile')
    if spec.seccomp.lstrip().startswith("{"):
        yield from _check_profile(f"{path}.seccomp", spec.seccomp)
    elif spec.seccomp not in ("", "unconfined"):
        yield Fault(f"{path}.seccomp", f'"{spec.seccomp[:80]}" must be "unconfined" or a seccomp profile in JSON')


def check_tuning_of_task(path: str, task: TaskTemplate) -> Iterator[Fault]:
    """Conflicts of these settings with the rest of the task template."""
    container, limits = task.container, task.limits
    if container.cpu.quota_us and limits.nano_cpus:
        yield Fault(f"{path}.container.cpu.quota_us", "cannot be combined with a CPU limit; use one of them")
    swap, most = container.memory.swap_bytes, exact_size(limits.memory_bytes)
    if container.memory.HasField("swap_bytes"):
        if not limits.memory_bytes:
            yield Fault(f"{path}.container.memory.swap_bytes", "requires a memory limit")
        elif 0 <= swap < limits.memory_bytes:
            why = f"{exact_size(swap)} (memory and swap together) is less than the memory limit of {most}"
            yield Fault(f"{path}.container.memory.swap_bytes", why)
    if 0 < limits.memory_bytes < container.memory.reservation_bytes:
        yield Fault(f"{path}.container.memory.reservation_bytes", f"must not exceed the memory limit of {most}")
    if mode_of(task) == HOST:
        for key in container.sysctls:
            if key.replace("/", ".").startswith("net."):
                yield Fault(
                    f"{path}.container.sysctls",
                    f'"{key}" is not supported with network "{HOST}": it would change the node',
                )


def _check_device(path: str, device: Device) -> Iterator[Fault]:
    yield from check_absolute(f"{path}.source", device.source)
    if device.target:
        yield from check_absolute(f"{path}.target", device.target)
    if not _ACCESS.fullmatch(device.permissions):
        yield Fault(
            f"{path}.permissions", f'"{device.permissions[:80]}" must be a combination of r, w and m, in this order'
        )


def _check_cpu(path: str, cpu: CpuTuning) -> Iterator[Fault]:
    for field in ("cpuset_cpus", "cpuset_mems"):
        text = getattr(cpu, field)
        if text and not _CPUS.fullmatch(text):
            yield Fault(f"{path}.{field}", f'"{text[:80]}" must be a list such as 0-2,7')
    if cpu.shares:
        yield from check_range(f"{path}.shares", cpu.shares, 2, 262_144)
    if cpu.period_us:
        yield from check_range(f"{path}.period_us", cpu.period_us, 1_000, 1_000_000, "microseconds")
    if cpu.quota_us:
        yield from check_range(f"{path}.quota_us", cpu.quota_us, 1_000, 10**12, "microseconds")


def _check_memory(path: str, memory: MemoryTuning) -> Iterator[Fault]:
    if memory.HasField("swap_bytes") and memory.swap_bytes != -1:
        yield from check_range(f"{path}.swap_bytes", memory.swap_bytes, 1, bounds.MEMORY_MAX_BYTES, "bytes")
    if memory.HasField("swappiness"):
        yield from check_range(f"{path}.swappiness", memory.swappiness, 0, 100)
    yield from check_range(f"{path}.reservation_bytes", memory.reservation_bytes, 0, bounds.MEMORY_MAX_BYTES, "bytes")


def _check_profile(path: str, text: str) -> Iterator[Fault]:
    try:
        profile = json.loads(text)
    except RecursionError:
        yield Fault(path, "is nested too deeply")
        return
    except ValueError as error:
        yield Fault(path, f"must be valid JSON: {error}"[:200])
        return
    if not _is_action(profile.get("defaultAction")):
        yield Fault(f"{path}.defaultAction", f"must be one of {', '.join(sorted(_ACTIONS))}")
    rules = profile.get("syscalls") or []
    if not isinstance(rules, list):
        yield Fault(f"{path}.syscalls", "must be a list")
        return
    for index, rule in enumerate(rules):
        names = (rule.get("names") or [rule.get("name")]) if isinstance(rule, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            yield Fault(f"{path}.syscalls[{index}]", "must name at least one system call")
        elif not _is_action(rule.get("action")):
            yield Fault(f"{path}.syscalls[{index}].action", f"must be one of {', '.join(sorted(_ACTIONS))}")


def _is_action(value: object) -> bool:
    return isinstance(value, str) and value in _ACTIONS
