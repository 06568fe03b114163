"""The cluster's objects as browsers get them: short documents, of tasks lists of values. Pure."""

from typing import Any

from shoal.api.v1.control_pb2 import TaskSummary
from shoal.api.v1.node_pb2 import Node, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Service, ServiceStatus, UpdateStatus
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.image_reference import familiar_text
from shoal.node_states import node_state

TASK_FIELDS = (
    "id",
    "service",
    "slot",
    "node",
    "state",
    "desired",
    "health",
    "message",
    "since",
    "exit",
    "revision",
    "cpus",
    "memory",
    "flags",
)
"""Names of the values of a task's row, which pages know as well (`web/src/feed/rows.ts`; a test compares)."""
PAUSED, NOT_LISTENING = 1, 2
"""Bits of a task's flags."""


def task_row(task: TaskSummary) -> list[Any]:
    """A task; states by name, CPUs in thousandths."""
    return [
        task.id,
        task.service_id,
        task.slot,
        task.node_id,
        TaskState.Name(task.state).lower(),
        TaskState.Name(task.desired_state).lower(),
        TaskStatus.Health.Name(task.health).lower(),
        task.message,
        task.since_ms,
        task.exit_code if task.HasField("exit_code") else None,
        task.revision,
        task.reserved_nano_cpus // 1_000_000,
        task.reserved_memory_bytes,
        task.paused * PAUSED | task.not_listening * NOT_LISTENING,
    ]


def node_row(node: Node, status: NodeStatus | None) -> dict[str, Any]:
    """A node; problems are those that its agent reports of its network, and why it is not ready."""
    seen = status or NodeStatus(state=NodeStatus.UNKNOWN)
    about = seen.description
    problems = list(seen.network_condition.problems)
    if seen.state != NodeStatus.READY and seen.message:
        problems.insert(0, seen.message)
    if seen.session_error:
        problems.append(seen.session_error)
    return {
        "id": node.meta.id,
        "name": about.hostname or node.spec.identity.hostname or node.meta.id,
        "state": node_state(seen),
        "availability": NodeSpec.Availability.Name(node.spec.availability or NodeSpec.ACTIVE).lower(),
        "since": seen.since_ms,
        "address": about.address,
        "cpus": about.resources.nano_cpus // 1_000_000,
        "memory": about.resources.memory_bytes,
        "labels": dict(node.spec.labels),
        "version": about.agent_version,
        "platform": f"{about.platform.os}/{about.platform.architecture}".strip("/"),
        "manager": bool(seen.colocated_manager_id),
        "certificate": about.certificate_expires_at_ms,
        "problems": problems,
    }


def service_row(service: Service, status: ServiceStatus | None) -> dict[str, Any]:
    """A service; `replicas` is None where the planner decides how many there are."""
    spec, seen = service.spec, status or ServiceStatus()
    problems = list(seen.problems)
    if seen.planning_error:
        problems.insert(0, seen.planning_error)
    replicas = {
        "replicated": spec.replicated.replicas,
        "replicated_job": spec.replicated_job.total_completions or 1,
    }.get(spec.WhichOneof("mode") or "")
    return {
        "id": service.meta.id,
        "name": spec.name,
        "stack": spec.stack,
        "mode": (spec.WhichOneof("mode") or "replicated").replace("_", "-"),
        "replicas": replicas,
        "autoscale": [spec.autoscale.min_replicas, spec.autoscale.max_replicas] if spec.HasField("autoscale") else None,
        "image": familiar_text(spec.task.container.image),
        "labels": dict(spec.labels),
        "revision": service.revision,
        "taskRevision": service.task_revision,
        "updated": service.meta.updated_at_ms,
        "update": _update(seen.update) if seen.HasField("update") else None,
        "paused": service.update_control.paused,
        "ports": [_port(each) for each in (seen.mesh_ports or spec.endpoint.ports)],
        "schedule": spec.schedule.cron,
        "problems": problems,
    }


def container_row(container: Container) -> dict[str, Any]:
    """A container of one's own."""
    return {
        "id": container.meta.id,
        "name": container.name,
        "desired": Container.Desired.Name(container.desired).lower(),
    }


def _update(update: UpdateStatus) -> dict[str, Any]:
    return {"state": UpdateStatus.State.Name(update.state).lower(), "message": update.message}


def _port(port: Any) -> dict[str, Any]:
    names = type(port)
    return {
        "published": port.published,
        "target": port.target,
        "protocol": names.Protocol.Name(port.protocol or names.TCP).lower(),
        "mode": names.Mode.Name(port.mode or names.INGRESS).lower(),
    }
