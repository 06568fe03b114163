"""A service as `docker service inspect` has it, over all that Shoal says of it."""

from typing import Any

from cli.fields.whole import identity, whole
from cli.go_template.values import Record
from cli.render.template import camel
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import ServiceView
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import Endpoint, PublishedPort, ServiceSpec, TaskTemplate, UpdateConfig, UpdateStatus

_NANO = 1_000_000
"""Docker's durations are nanoseconds."""


def service_fields(view: ServiceView) -> Record:
    """The fields of a service."""
    everything = whole(view)
    counts = {"RunningTasks": view.running, "DesiredTasks": view.desired, "CompletedTasks": view.completed}
    return Record(
        everything
        | identity(view.service.meta)
        | {
            "Name": view.service.spec.name,
            "Revision": view.service.revision,
            "Spec": _spec(view.service.spec),
            "PreviousSpec": None,
            "Endpoint": _endpoint(view),
            "UpdateStatus": _update(view.status.update) if view.status.HasField("update") else None,
            "ServiceStatus": Record(counts),
        }
    )


def _spec(spec: ServiceSpec) -> Record:
    modes: dict[str, Record | None] = dict.fromkeys(("Replicated", "Global", "ReplicatedJob", "GlobalJob"))
    if (mode := spec.WhichOneof("mode")) is not None:
        modes[camel(mode)] = whole(getattr(spec, mode))
    return Record(
        whole(spec)
        | {
            "TaskTemplate": template(spec.task),
            "Mode": Record(modes),
            "UpdateConfig": _policy(spec.update) if spec.HasField("update") else None,
            "RollbackConfig": _policy(spec.rollback) if spec.HasField("rollback") else None,
            "EndpointSpec": Record(
                {"Mode": _mode(spec.endpoint), "Ports": [_port(each) for each in spec.endpoint.ports]}
            ),
        }
    )


def template(task: TaskTemplate) -> Record:
    """`Spec.TaskTemplate`, which is a task's `Spec` too."""
    made, container = whole(task), task.container
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
    restart, placement = whole(task.restart), whole(task.placement)
    restart |= {"Delay": task.restart.delay_ms * _NANO, "Window": task.restart.window_ms * _NANO}
    return Record(
        made
        | {
            "ContainerSpec": Record(whole(container) | in_docker),
            "Resources": Record({"Limits": _amounts(task.limits), "Reservations": _amounts(task.reservations)}),
            "RestartPolicy": Record(restart),
            "Placement": Record(placement | {"MaxReplicas": task.placement.max_per_node}),
            "Networks": [Record(whole(each) | {"Target": each.network}) for each in task.networks],
            "Runtime": "container",
        }
    )


def _amounts(amounts: Resources) -> Record:
    return Record(whole(amounts) | {"NanoCPUs": amounts.nano_cpus, "Pids": max(amounts.pids, 0)})


def _mount(mount: Mount) -> Record:
    made = whole(mount)
    return Record(made | {"ReadOnly": made.get("ReadOnly", False)})


def _policy(update: UpdateConfig) -> Record:
    made = whole(update)
    times: dict[str, Any] = {"Delay": update.delay_ms * _NANO, "Monitor": update.monitor_ms * _NANO}
    return Record(made | times)


def _mode(endpoint: Endpoint) -> str:
    return "dnsrr" if endpoint.mode == Endpoint.DNSRR else "vip"


def _port(port: PublishedPort) -> Record:
    protocol = PublishedPort.Protocol.Name(port.protocol or PublishedPort.TCP).lower()
    mode = PublishedPort.Mode.Name(port.mode or PublishedPort.INGRESS).lower()
    return Record(
        whole(port)
        | {"Protocol": protocol, "TargetPort": port.target, "PublishedPort": port.published, "PublishMode": mode}
    )


def _endpoint(view: ServiceView) -> Record:
    by_host = [each for each in view.service.spec.endpoint.ports if each.mode == PublishedPort.HOST]
    ports = [_port(each) for each in (*view.status.mesh_ports, *by_host)]
    addresses = [Record({"NetworkID": each.network_id, "Addr": each.address}) for each in view.status.virtual_addresses]
    mode = Record({"Mode": _mode(view.service.spec.endpoint)})
    return Record({"Spec": mode, "Ports": ports, "VirtualIPs": addresses})


def _update(update: UpdateStatus) -> Record:
    made = whole(update)
    states = {"rolling-back": "rollback_started", "rolled-back": "rollback_completed"}
    return Record(made | {"State": states.get(made["State"], made["State"]), "CompletedAt": made["FinishedAt"]})
