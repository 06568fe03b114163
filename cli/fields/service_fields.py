"""A service as `docker service inspect` has it, over all that Shoal says of it."""

from typing import Any

from cli.fields.message_fields import all_fields, meta_fields
from cli.go_template.template_values import FieldRecord
from cli.render.format_template import camel
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import ServiceView
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import Endpoint, PublishedPort, ServiceSpec, TaskTemplate, UpdateConfig, UpdateStatus

_NANO = 1_000_000
"""Docker's durations are nanoseconds."""


def service_fields(view: ServiceView) -> FieldRecord:
    """The fields of a service."""
    everything = all_fields(view)
    counts = {"RunningTasks": view.running, "DesiredTasks": view.desired, "CompletedTasks": view.completed}
    return FieldRecord(
        everything
        | meta_fields(view.service.meta)
        | {
            "Name": view.service.spec.name,
            "Revision": view.service.revision,
            "Spec": _spec(view.service.spec),
            "PreviousSpec": None,
            "Endpoint": _endpoint(view),
            "UpdateStatus": _update(view.status.update) if view.status.HasField("update") else None,
            "ServiceStatus": FieldRecord(counts),
        }
    )


def _spec(spec: ServiceSpec) -> FieldRecord:
    modes: dict[str, FieldRecord | None] = dict.fromkeys(("Replicated", "Global", "ReplicatedJob", "GlobalJob"))
    if (mode := spec.WhichOneof("mode")) is not None:
        modes[camel(mode)] = all_fields(getattr(spec, mode))
    return FieldRecord(
        all_fields(spec)
        | {
            "TaskTemplate": template_fields(spec.task),
            "Mode": FieldRecord(modes),
            "UpdateConfig": _policy(spec.update) if spec.HasField("update") else None,
            "RollbackConfig": _policy(spec.rollback) if spec.HasField("rollback") else None,
            "EndpointSpec": FieldRecord(
                {"Mode": _mode(spec.endpoint), "Ports": [_port(each) for each in spec.endpoint.ports]}
            ),
        }
    )


def template_fields(task: TaskTemplate) -> FieldRecord:
    """`Spec.TaskTemplate`, which is a task's `Spec` too."""
    made, container = all_fields(task), task.container
    in_docker = {
        "Command": list(container.entrypoint),
        "Args": list(container.command),
        "Dir": container.working_dir,
        "TTY": container.tty,
        "OpenStdin": container.stdin_open,
        "ReadOnly": container.read_only,
        "StopGracePeriod": container.stop_grace_ms * _NANO,
        "Hosts": list(container.extra_hosts),
        "Mounts": [_mount(each) for each in container.mounts],
    }
    restart, placement = all_fields(task.restart), all_fields(task.placement)
    restart |= {"Delay": task.restart.delay_ms * _NANO, "Window": task.restart.window_ms * _NANO}
    return FieldRecord(
        made
        | {
            "ContainerSpec": FieldRecord(all_fields(container) | in_docker),
            "Resources": FieldRecord({"Limits": _amounts(task.limits), "Reservations": _amounts(task.reservations)}),
            "RestartPolicy": FieldRecord(restart),
            "Placement": FieldRecord(placement | {"MaxReplicas": task.placement.max_per_node}),
            "Networks": [FieldRecord(all_fields(each) | {"Target": each.network}) for each in task.networks],
            "Runtime": "container",
        }
    )


def _amounts(amounts: Resources) -> FieldRecord:
    return FieldRecord(all_fields(amounts) | {"NanoCPUs": amounts.nano_cpus, "Pids": max(amounts.pids, 0)})


def _mount(mount: Mount) -> FieldRecord:
    made = all_fields(mount)
    return FieldRecord(made | {"ReadOnly": made.get("ReadOnly", False)})


def _policy(update: UpdateConfig) -> FieldRecord:
    made = all_fields(update)
    times: dict[str, Any] = {"Delay": update.delay_ms * _NANO, "Monitor": update.monitor_ms * _NANO}
    return FieldRecord(made | times)


def _mode(endpoint: Endpoint) -> str:
    return "dnsrr" if endpoint.mode == Endpoint.DNSRR else "vip"


def _port(port: PublishedPort) -> FieldRecord:
    protocol = PublishedPort.Protocol.Name(port.protocol or PublishedPort.TCP).lower()
    mode = PublishedPort.Mode.Name(port.mode or PublishedPort.INGRESS).lower()
    return FieldRecord(
        all_fields(port)
        | {"Protocol": protocol, "TargetPort": port.target, "PublishedPort": port.published, "PublishMode": mode}
    )


def _endpoint(view: ServiceView) -> FieldRecord:
    by_host = [each for each in view.service.spec.endpoint.ports if each.mode == PublishedPort.HOST]
    ports = [_port(each) for each in (*view.status.mesh_ports, *by_host)]
    addresses = [
        FieldRecord({"NetworkID": each.network_id, "Addr": each.address}) for each in view.status.virtual_addresses
    ]
    mode = FieldRecord({"Mode": _mode(view.service.spec.endpoint)})
    return FieldRecord({"Spec": mode, "Ports": ports, "VirtualIPs": addresses})


def _update(update: UpdateStatus) -> FieldRecord:
    made = all_fields(update)
    states = {"rolling-back": "rollback_started", "rolled-back": "rollback_completed"}
    return FieldRecord(made | {"State": states.get(made["State"], made["State"]), "CompletedAt": made["FinishedAt"]})
