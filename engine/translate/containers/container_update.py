"""`POST /containers/{id}/update`: limits and restart policy. Pure."""

from collections.abc import Mapping
from typing import Any

from engine.translate.containers.host_config import read_restart
from engine.translate.containers.host_resources import read_resources
from engine.translate.fields import Fields
from shoal.api.v1.engine_pb2 import UpdateContainerRequest
from shoal.api.v1.service_pb2 import TaskTemplate

_CHANGEABLE = (
    "CpuShares", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "Memory", "MemoryReservation", "MemorySwap",
    "NanoCpus", "PidsLimit",
)  # fmt: skip


def read_update(document: Mapping[str, Any]) -> UpdateContainerRequest:
    """The request, without the container. What is absent, null or 0 stays as it is.

    Raises:
        ApiError: 400, something is not valid, or cannot be changed while a container lives.
    """
    fields = Fields(document)
    given = {key: fields.value(key) for key in _CHANGEABLE if fields.value(key)}
    for key in ("BlkioWeight", "CpuRealtimePeriod", "CpuRealtimeRuntime", "KernelMemory", "Devices", "Ulimits"):
        if fields.value(key):
            raise fields.invalid(key, "cannot be changed after the creation")
    if given.get("MemorySwap") not in (None, -1) and "Memory" not in given:
        given.pop("MemorySwap")
    task, request = TaskTemplate(), UpdateContainerRequest()
    read_resources(Fields(given, "HostConfig"), task)
    request.limits.CopyFrom(task.limits)
    request.cpu.CopyFrom(task.container.cpu)
    request.memory.CopyFrom(task.container.memory)
    request.memory.ClearField("oom_kill_disable")
    policy = fields.nested("RestartPolicy")
    if policy.text("Name"):
        request.restart.CopyFrom(read_restart(policy))
    return request
