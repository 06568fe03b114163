"""Services and tasks as documents. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.protocol.go_times import time_text
from engine.protocol.versions import NEWEST
from engine.translate.networks import network_document
from engine.translate.object_ids import docker_id
from engine.translate.stack_labels import with_stack
from engine.translate.swarm.service_spec import (
    JOB_MODES,
    endpoint_document,
    port_document,
    service_spec_document,
)
from engine.translate.swarm.swarm_objects import meta_document
from shoal.api.v1.control_pb2 import NetworkView, ServiceView, TaskView
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.ids import is_id
from shoal.image_reference import familiar_text
from shoal.task_states import observed_state, shown_desired_state

_UPDATE_STATES = {
    UpdateStatus.UPDATING: "updating",
    UpdateStatus.COMPLETED: "completed",
    UpdateStatus.PAUSED: "paused",
    UpdateStatus.CANARY: "paused",
    UpdateStatus.ROLLING_BACK: "rollback_started",
    UpdateStatus.ROLLED_BACK: "rollback_completed",
}
_REVERTING_STATES = _UPDATE_STATES | {
    UpdateStatus.UPDATING: "rollback_started",
    UpdateStatus.COMPLETED: "rollback_completed",
    UpdateStatus.PAUSED: "rollback_paused",
}


def service_document(
    view: ServiceView,
    networks: Mapping[str, NetworkView],
    *,
    defaults: bool,
    running: int | None = None,
    previous: ServiceSpec | None = None,
) -> dict[str, Any]:
    """`GET /services/{id}`.

    Args:
        networks: by id.
        defaults: fill in what is not set.
        running: number of its tasks that run; None: numbers of tasks are not asked for.
        previous: the spec before the last update; None: there was no update, or it is not asked for.
    """
    spec = view.service.spec
    document = meta_document(view.service.meta) | {
        "Spec": service_spec_document(spec, defaults=defaults),
        **({"PreviousSpec": service_spec_document(previous, defaults=defaults)} if previous is not None else {}),
        "Endpoint": _endpoint(view, networks),
    }
    update = view.status.update
    if update.state in _UPDATE_STATES:
        document["UpdateStatus"] = {
            "State": _update_state(update),
            "StartedAt": time_text(update.started_at_ms),
            **({"CompletedAt": time_text(update.finished_at_ms)} if update.finished_at_ms else {}),
            "Message": update.message or _update_message(update),
        }
    if spec.WhichOneof("mode") in JOB_MODES:
        document["JobStatus"] = _job_status(view)
    if running is not None:
        document["ServiceStatus"] = {
            "RunningTasks": running,
            "DesiredTasks": view.desired,
            "CompletedTasks": view.completed,
        }
    return document


def task_document(view: TaskView, service: ServiceView | None, networks: Mapping[str, NetworkView]) -> dict[str, Any]:
    """`GET /tasks/{id}`.

    Args:
        service: that it is of; None where it was removed.
    """
    task, status = view.task, view.status
    spec = service.service.spec if service is not None else None
    document: dict[str, Any] = {
        "ID": task.id,
        "Version": {"Index": max(status.at_ms, task.created_at_ms)},
        "CreatedAt": time_text(task.created_at_ms),
        "UpdatedAt": time_text(max(status.at_ms, task.created_at_ms)),
        "Labels": {},
        "Spec": _template(spec, view),
        "ServiceID": task.service_id,
    }
    slot = task.slot - 1 if task.job_run and task.slot else task.slot  # Docker counts a job's from 0
    document |= {"Slot": slot} if slot else {}
    document |= {"NodeID": task.node_id} if task.node_id else {}
    document |= {"JobIteration": {"Index": task.job_run}} if task.job_run else {}
    return document | {
        "Status": _status(view),
        "DesiredState": _desired_state(view),
        "NetworksAttachments": [
            _attachment(networks[each.network_id], each.address)
            for each in task.addresses
            if each.network_id in networks
        ],
        "Volumes": None,
    }


def _job_status(view: ServiceView) -> dict[str, Any]:
    """The newest run of a job; the first one until it has begun."""
    runs = view.status.runs
    number, started_ms = (runs[-1].number, runs[-1].started_at_ms) if runs else (1, view.service.meta.created_at_ms)
    return {"JobIteration": {"Index": number}, "LastExecution": time_text(started_ms)}


def _template(spec: ServiceSpec | None, view: TaskView) -> Any:
    """`Spec` of a task, with the image of its own revision; of that of a removed service, what is known."""
    if spec is None:
        return {"ContainerSpec": {"Image": view.image}}
    template = service_spec_document(spec, defaults=False)["TaskTemplate"]
    if view.image and familiar_text(spec.task.container.image) != view.image:
        template["ContainerSpec"] = template["ContainerSpec"] | {"Image": view.image}
    return template


def service_matches(document: Mapping[str, Any], filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether a service fits the filters of `list`."""
    return all(
        any(_service_fits(document, key, value) for value in values) for key, values in filters.items() if values
    )


def task_matches(
    view: TaskView, filters: Mapping[str, Sequence[str]], service: ServiceView | None, node_ids: Mapping[str, str]
) -> bool:
    """Whether a task fits the filters of `list`.

    Args:
        node_ids: ids of nodes by hostname.
    """
    return all(
        any(_task_fits(view, key, value, service, node_ids) for value in values)
        for key, values in filters.items()
        if values
    )


def _service_fits(document: Mapping[str, Any], key: str, value: str) -> bool:
    spec = document["Spec"]
    match key:
        case "id":
            return str(document["ID"]).startswith(value)
        case "name":
            return str(spec["Name"]).startswith(value)
        case "mode":
            modes = {"replicated": "Replicated", "global": "Global", "replicated-job": "ReplicatedJob"}
            return modes.get(value, "GlobalJob") in spec["Mode"]
        case "label":
            name, sign, text = value.partition("=")
            return name in spec["Labels"] and (not sign or spec["Labels"][name] == text)
        case _:
            return True


def _task_fits(view: TaskView, key: str, value: str, service: ServiceView | None, node_ids: Mapping[str, str]) -> bool:
    task = view.task
    match key:
        case "id":
            return task.id.startswith(value)
        case "name":
            return _task_name(view).startswith(value)
        case "service":
            return value == view.service_name or task.service_id.startswith(value)
        case "node":
            return task.node_id == node_ids.get(value, value) or view.node_hostname == value
        case "desired-state":
            return _desired_state(view) == value
        case "label":
            labels = with_stack(service.service.spec.labels, service.service.spec.stack) if service is not None else {}
            name, sign, text = value.partition("=")
            return name in labels and (not sign or labels[name] == text)
        case "_up-to-date":
            return (service is not None and _is_up_to_date(task, service)) == (value in ("true", "1"))
        case _:
            return True


def _is_up_to_date(task: Task, service: ServiceView) -> bool:
    """Whether it runs what the service is to run, as far as its revision says."""
    target = service.status.update.effective_revision or service.status.update.task_revision
    return task.revision >= target


def _desired_state(view: TaskView) -> str:
    state = shown_desired_state(view.task, observed_state(view.task, view.status))
    return TaskState.Name(TaskState.ValueType(state)).lower()


def _task_name(view: TaskView) -> str:
    return f"{view.service_name}.{view.task.slot or view.task.node_id}.{view.task.id}"


def _endpoint(view: ServiceView, networks: Mapping[str, NetworkView]) -> dict[str, Any]:
    spec, status = view.service.spec, view.status
    document: dict[str, Any] = {"Spec": endpoint_document(spec.endpoint) if spec.HasField("endpoint") else {}}
    ports = [each for each in spec.endpoint.ports if each.mode == PublishedPort.HOST] + list(status.mesh_ports)
    if ports:
        document["Ports"] = [port_document(each) for each in ports]
    if status.virtual_addresses:
        document["VirtualIPs"] = [
            {"NetworkID": docker_id(each.network_id), "Addr": _with_prefix(each.address, networks.get(each.network_id))}
            for each in status.virtual_addresses
        ]
    return document


def _status(view: TaskView) -> dict[str, Any]:
    task, status = view.task, view.status
    state = observed_state(task, status)
    document: dict[str, Any] = {
        "Timestamp": time_text(status.at_ms or task.created_at_ms),
        "State": TaskState.Name(TaskState.ValueType(state)).lower(),
        "Message": "started"
        if state == TaskState.RUNNING
        else status.message or TaskState.Name(TaskState.ValueType(state)).lower(),
    }
    if state in (TaskState.FAILED, TaskState.REJECTED) and status.message:
        document["Err"] = status.message
    if state == TaskState.PENDING and task.reason:
        document["Err"] = task.reason
    if state >= TaskState.STARTING and is_id(task.id):
        document["ContainerStatus"] = {
            "ContainerID": docker_id(task.id),
            "PID": status.pid,
            "ExitCode": status.exit_code,
        }
    ports = [
        {"Protocol": "udp" if each.protocol == PublishedPort.UDP else "tcp", "TargetPort": each.target}
        | {"PublishedPort": each.published, "PublishMode": "host"}
        for each in task.ports
    ]
    document["PortStatus"] = {"Ports": ports} if ports else {}
    return document


def _attachment(view: NetworkView, address: str) -> dict[str, Any]:
    document = network_document(view, NEWEST)
    meta = meta_document(view.network.meta) | {"ID": document["Id"]}
    configs = document["IPAM"]["Config"]
    return {
        "Network": meta
        | {
            "Spec": {
                "Name": document["Name"],
                "Labels": document["Labels"],
                "DriverConfiguration": {"Name": document["Driver"]},
                "Attachable": document["Attachable"],
                "IPAMOptions": {"Driver": {"Name": "default"}},
                "Scope": document["Scope"],
            },
            "DriverState": {"Name": "overlay", "Options": document["Options"]},
            "IPAMOptions": {"Driver": {"Name": "default"}, "Configs": configs},
        },
        "Addresses": [_with_prefix(address, view)],
    }


def _with_prefix(address: str, view: NetworkView | None) -> str:
    prefix = view.allocation.subnet.rpartition("/")[2] if view is not None else ""
    return f"{address}/{prefix or '32'}"


def _update_state(update: UpdateStatus) -> str:
    """A rollback that a user asked for is an update that restores what ran before."""
    if not update.reverting:
        return _UPDATE_STATES[update.state]
    return _REVERTING_STATES[update.state]


def _update_message(update: UpdateStatus) -> str:
    if update.reverting and update.state in (UpdateStatus.UPDATING, UpdateStatus.COMPLETED):
        return "manually requested rollback" if update.state == UpdateStatus.UPDATING else "rollback completed"
    return {
        UpdateStatus.UPDATING: "update in progress",
        UpdateStatus.COMPLETED: "update completed",
        UpdateStatus.ROLLING_BACK: "rollback in progress",
        UpdateStatus.ROLLED_BACK: "rollback completed",
    }.get(update.state, "update paused")
