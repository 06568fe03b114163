"""What a task was given of the node's generic resources, made known to its container. Pure."""

import re

from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.task_pb2 import Task

_PREFIX = "DOCKER_RESOURCE_"
"""As Docker names the variables, so that images that look for them find them."""


def with_generic(spec: ContainerSpec, task: Task) -> ContainerSpec:
    """The spec with a variable for each kind (`DOCKER_RESOURCE_GPU=GPU-1,GPU-2`, or a count), and with devices.

    Names that are paths of devices become devices of the container, under the same path.
    """
    if not task.generic:
        return spec
    found = ContainerSpec()
    found.CopyFrom(spec)
    named = {device.target or device.source for device in spec.devices}
    for each in task.generic:
        variable = _PREFIX + re.sub(r"[^A-Z0-9]", "_", each.kind.upper())
        found.env.append(f"{variable}={','.join(each.names) if each.names else each.count}")
        for name in each.names:
            if name.startswith("/dev/") and name not in named:
                found.devices.add(source=name)
    return found
