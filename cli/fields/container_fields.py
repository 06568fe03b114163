"""A container as `docker inspect` has it, over all that Shoal says of it."""

from collections.abc import Mapping
from typing import Any

from cli.fields.message_fields import all_fields
from cli.go_template.template_values import FieldRecord
from cli.render.container_rows import identifier_of
from cli.render.task_rows import timestamp
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.container_ids import SHORT_DIGITS, container_id
from shoal.container_ports import port_bindings
from shoal.container_states import ACTIVE, state_text
from shoal.networks.network_modes import mode_of
from shoal.networks.published_ports import protocol_name
from shoal.task_states import is_terminal

_NEVER = "0001-01-01T00:00:00Z"
"""Docker's time of what has not happened."""


def container_fields(view: ContainerView, networks: Mapping[str, str]) -> FieldRecord:
    """The fields of a container.

    Args:
        networks: names of networks by id.
    """
    container, spec, digits = (
        view.container,
        view.container.definition.task.container,
        container_id(identifier_of(view)),
    )
    words = list(view.command) or [*spec.entrypoint, *spec.command]
    return FieldRecord(
        all_fields(view)
        | all_fields(container)
        | {
            "ID": digits,
            "Id": digits,
            "Created": timestamp(container.meta.created_at_ms or view.task.created_at_ms),
            "Path": words[0] if words else "",
            "Args": words[1:],
            "State": _state(view),
            "Image": spec.image.partition("@")[2] or spec.image,
            "Name": f"/{container.name}",
            "Node": FieldRecord({"ID": view.node_id, "Name": view.node_hostname}),
            "RestartCount": view.restart_count,
            "SizeRw": view.writable_bytes if view.HasField("writable_bytes") else None,
            "SizeRootFs": view.writable_bytes + view.image_bytes if view.HasField("writable_bytes") else None,
            "Driver": "overlay2",
            "Platform": "linux",
            "HostConfig": _host_config(view, networks),
            "Mounts": [_mount(each) for each in spec.mounts],
            "Config": _config(view),
            "NetworkSettings": _network_settings(view, networks),
        }
    )


def _state(view: ContainerView) -> FieldRecord:
    status, word = view.task_status, state_text(view)
    ended = view.HasField("task_status") and is_terminal(status.state)
    failed = status.message if status.state in (TaskState.FAILED, TaskState.REJECTED) else ""
    return FieldRecord(
        {
            "Status": word,
            "Running": word in ACTIVE,
            "Paused": word == "paused",
            "Restarting": word == "restarting",
            "OOMKilled": status.oom_killed,
            "Dead": word == "dead",
            "Pid": status.pid if word in ("running", "paused") else 0,
            "ExitCode": status.exit_code,
            "Error": failed,
            "StartedAt": timestamp(status.running_at_ms) or _NEVER,
            "FinishedAt": timestamp(status.at_ms) if ended else _NEVER,
            "Health": _health(status),
        }
    )


def _health(status: TaskStatus) -> FieldRecord | None:
    if status.health == TaskStatus.NONE:
        return None
    name = TaskStatus.Health.Name(status.health).lower()
    return FieldRecord({"Status": name, "Log": [FieldRecord({"Output": status.health_output})]})


def _host_config(view: ContainerView, networks: Mapping[str, str]) -> FieldRecord:
    definition, task = view.container.definition, view.container.definition.task
    spec, mode = task.container, mode_of(task)
    first = task.networks[0].network if task.networks else ""
    condition = ContainerRestart.Condition.Name(definition.restart.condition or ContainerRestart.NO)
    return FieldRecord(
        {
            "NetworkMode": mode or networks.get(first, first),
            "AutoRemove": definition.auto_remove,
            "RestartPolicy": FieldRecord(
                {
                    "Name": condition.lower().replace("_", "-"),
                    "MaximumRetryCount": definition.restart.max_attempts,
                }
            ),
            "Binds": [f"{each.source}:{each.target}" for each in spec.mounts if each.type == Mount.BIND],
            "Memory": task.limits.memory_bytes,
            "MemoryReservation": spec.memory.reservation_bytes,
            "MemorySwap": spec.memory.swap_bytes,
            "NanoCpus": task.limits.nano_cpus,
            "CpuShares": spec.cpu.shares,
            "CpuPeriod": spec.cpu.period_us,
            "CpuQuota": spec.cpu.quota_us,
            "CpusetCpus": spec.cpu.cpuset_cpus,
            "CpusetMems": spec.cpu.cpuset_mems,
            "PidsLimit": task.limits.pids,
            "Privileged": spec.privileged,
            "ReadonlyRootfs": spec.read_only,
            "CapAdd": list(spec.cap_add),
            "CapDrop": list(spec.cap_drop),
            "ExtraHosts": list(spec.extra_hosts),
            "ShmSize": spec.shm_bytes or 64 << 20,
            "Init": spec.init,
            "PortBindings": _ports(view),
        }
    )


def _config(view: ContainerView) -> FieldRecord:
    definition, spec = view.container.definition, view.container.definition.task.container
    return FieldRecord(
        {
            "Hostname": spec.hostname or container_id(identifier_of(view))[:SHORT_DIGITS],
            "Domainname": spec.domainname,
            "User": spec.user,
            "Tty": spec.tty,
            "OpenStdin": spec.stdin_open,
            "StdinOnce": spec.stdin_once,
            "Env": list(spec.env),
            "Cmd": list(spec.command),
            "Entrypoint": list(spec.entrypoint),
            "Image": spec.image.partition("@")[0],
            "WorkingDir": spec.working_dir,
            "StopSignal": spec.stop_signal,
            "Labels": {**spec.labels, **definition.labels},
        }
    )


def _mount(mount: Mount) -> FieldRecord:
    made = {
        "Type": Mount.Type.Name(mount.type).lower(),
        "Name": mount.volume.name,
        "Source": mount.source,
        "Destination": mount.target,
        "RW": not mount.read_only,
    }
    return FieldRecord(all_fields(mount) | made)


def _network_settings(view: ContainerView, networks: Mapping[str, str]) -> FieldRecord:
    attached: dict[str, Any] = {}
    addresses = {each.network_id: each for each in view.task.addresses}
    is_active = state_text(view) in ACTIVE
    for each in view.container.definition.task.networks:
        given = addresses.get(each.network) if is_active else None
        attached[networks.get(each.network, each.network)] = FieldRecord(
            {
                "NetworkID": each.network,
                "Aliases": list(each.aliases),
                "IPAddress": given.address if given is not None else "",
                "GlobalIPv6Address": given.address6 if given is not None else "",
            }
        )
    first: dict[str, Any] = next(iter(attached.values()), {})
    return FieldRecord(
        {
            "IPAddress": first.get("IPAddress", ""),
            "GlobalIPv6Address": first.get("GlobalIPv6Address", ""),
            "Ports": _ports(view),
            "Networks": attached,
        }
    )


def _ports(view: ContainerView) -> dict[str, list[FieldRecord]]:
    found: dict[str, list[FieldRecord]] = {}
    for each in port_bindings(view):
        host, _, port = each.published_text.rpartition(":")
        bound = FieldRecord({"HostIp": host, "HostPort": port})
        found.setdefault(f"{each.target}/{protocol_name(each.protocol)}", []).append(bound)
    return found
