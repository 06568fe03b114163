"""Passes allocated generic resources to the container as variables and devices. Pure."""

import re

from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.task_pb2 import Task
from shoal.cdi_names import is_kind, split_name

_PREFIX = "DOCKER_RESOURCE_"
"""Docker's prefix of these variables, which images may look for."""


def cdi_devices(task: Task) -> list[tuple[str, str]]:
    """Kind and name of each CDI device that was allocated to the task.

    A CDI device is a resource of its own kind, or a name in an operator's resource of another kind.
    """
    found = []
    for each in task.generic_resources:
        for name in each.names:
            if is_kind(each.kind):
                found.append((each.kind, name))
            elif (device := split_name(name)) is not None:
                found.append(device)
    return found


def with_generic_resources(spec: ContainerSpec, task: Task) -> ContainerSpec:
    """The spec with a variable for each kind (`DOCKER_RESOURCE_GPU=GPU-1,GPU-2`, or a count), and with devices.

    Names that are device paths become devices of the container, with the same path.
    """
    if not task.generic_resources:
        return spec
    found = ContainerSpec()
    found.CopyFrom(spec)
    named = {device.target or device.source for device in spec.devices}
    for each in task.generic_resources:
        variable = _PREFIX + re.sub(r"[^A-Z0-9]", "_", each.kind.upper())
        found.env.append(f"{variable}={','.join(each.names) if each.names else each.count}")
        for name in each.names:
            if name.startswith("/dev/") and name not in named:
                found.devices.add(source=name)
    return found
