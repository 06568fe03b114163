"""Translate the manager's errors about containers, which name fields, to flags of `shoal run`."""

import re
from collections.abc import Sequence

from cli.flags.fault_flags import flag_of_field
from shoal.errors import Fault

_FLAGS = {
    "name": "--name",
    "node": "--node",
    "adopt": "--adopt",
    "labels": "--label",
    "ports": "--publish",
    "endpoint.ports": "--publish",
    "restart": "--restart",
    "auto_remove": "--rm",
    "reschedule": "--reschedule",
    "links": "--link",
    "beside": "--volumes-from",  # retired word: the field's name
    "task.limits.nano_cpus": "--cpus",
    "task.limits.memory_bytes": "--memory",
    "task.limits.pids": "--pids-limit",
    "task.reservations.generic_resources": "--gpus",
    "task.container.groups": "--group-add",
    "task.container.extra_hosts": "--add-host",
    "task.container.mounts": "--volume",
    "task.container.stop_grace_ms": "--stop-timeout",
    "task.container.pid_container": "--pid",
    "task.container.ipc_container": "--ipc",
    "task.container.links": "--link",
    "task.container.mac_address": "--mac-address",
}
"""The flag of a field, or of all fields below it, where it is not that of `service create`."""

_MENTIONED_FIELDS = re.compile(r"task\.(?:reservations|limits)\.(?:nano_cpus|memory_bytes)")
"""Fields that a fault of another one names."""


def faults_by_container_flag(faults: Sequence[Fault]) -> list[Fault]:
    """The manager's faults by the flags that set them; a field without a flag keeps its path."""
    return [
        Fault(_flag(fault.path), _MENTIONED_FIELDS.sub(lambda mention: f"`{_flag(mention[0])}`", fault.message))
        for fault in faults
    ]


def _flag(path: str) -> str:
    return flag_of_field(path, _FLAGS) or flag_of_field(path) or path
