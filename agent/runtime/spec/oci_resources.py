"""`linux.resources` of an OCI runtime spec (runtime-spec 1.0.2, config-linux.md, "Control groups"). Pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agent.runtime.spec.devices import DeviceNode, device_rules
from agent.runtime.spec.oci_block_io import Number, block_io_section
from shoal.api.v1.container_pb2 import ContainerSpec, CpuTuning, MemoryTuning
from shoal.api.v1.meta_pb2 import Resources
from shoal.errors import Fault, InvalidInput

DEFAULT_PIDS = 4096
UNLIMITED = -1
_CPU_PERIOD_US = 100_000
_MIN_CPU_QUOTA_US = 1_000


def resources_section(
    spec: ContainerSpec,
    limits: Resources,
    devices: Sequence[DeviceNode],
    *,
    swap_accounting: bool,
    cgroup_version: int,
    block_devices: Mapping[str, Number] = MappingProxyType({}),
) -> dict[str, Any]:
    """Limits and weights, and allowed devices.

    Args:
        limits: 0 in a field means no limit.
        block_devices: numbers of the block devices that the spec names, by path.
    Raises:
        InvalidInput: a control that this host's cgroups do not support.
    """
    section: dict[str, Any] = {
        "devices": device_rules(devices, spec.device_cgroup_rules, privileged=spec.privileged),
    }
    if limits.pids != UNLIMITED:
        section["pids"] = {"limit": limits.pids or DEFAULT_PIDS}
    if block_io := block_io_section(spec.block_io, block_devices):
        section["blockIO"] = block_io
    if cpu := _cpu(spec.cpu, limits.nano_cpus):
        section["cpu"] = cpu
    if memory := _memory(spec.memory, limits.memory_bytes, swap_accounting, cgroup_version):
        section["memory"] = memory
    return section


def _cpu(tuning: CpuTuning, nano_cpus: int) -> dict[str, Any]:
    period = tuning.period_us or _CPU_PERIOD_US
    quota = tuning.quota_us or nano_cpus * period // 10**9
    given: dict[str, Any] = {"shares": tuning.shares, "cpus": tuning.cpuset_cpus, "mems": tuning.cpuset_mems}
    section = {name: value for name, value in given.items() if value}
    if nano_cpus or tuning.quota_us:
        section |= {"quota": max(_MIN_CPU_QUOTA_US, quota), "period": period}
    return section


def _memory(tuning: MemoryTuning, limit: int, swap_accounting: bool, cgroup_version: int) -> dict[str, Any]:
    _check_host(tuning, swap_accounting, cgroup_version)
    section: dict[str, Any] = {}
    if limit:
        # `swap` is memory and swap together: equal means no swap.
        swap = tuning.swap_bytes if tuning.HasField("swap_bytes") else limit
        section |= {"limit": limit, "swap": swap} if swap_accounting else {"limit": limit}
    if tuning.HasField("swappiness"):
        section["swappiness"] = tuning.swappiness
    if tuning.reservation_bytes:
        section["reservation"] = tuning.reservation_bytes
    if tuning.oom_kill_disable:
        section["disableOOMKiller"] = True
    return section


def _check_host(tuning: MemoryTuning, swap_accounting: bool, cgroup_version: int) -> None:
    faults = []
    if tuning.HasField("swap_bytes") and not swap_accounting:
        faults.append(Fault("spec.memory.swap_bytes", "is not supported: the node's kernel does not account for swap"))
    old = {"swappiness": tuning.HasField("swappiness"), "oom_kill_disable": tuning.oom_kill_disable}
    if cgroup_version != 1:
        faults += [
            Fault(f"spec.memory.{name}", "is not supported with cgroup v2") for name, desired in old.items() if desired
        ]
    if faults:
        raise InvalidInput(faults)
