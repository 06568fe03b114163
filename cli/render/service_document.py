"""A service as `service inspect` shows it."""

from typing import Any

from google.protobuf.message import Message

from cli.render.documents import to_document
from shoal.api.v1.control_pb2 import ServiceView


def document(view: ServiceView) -> dict[str, Any]:
    """Identity and progress first, then the spec as it was given, then what the planner says."""
    whole = to_document(view.service)
    meta = whole.get("meta", {})
    return {
        **meta,
        "name": view.service.spec.name,
        "revision": view.service.revision,
        "task_revision": view.service.task_revision,
        **({"rolled_back": _rolled_back(view)} if view.rolled_back_from else {}),
        "tasks": _tasks(view),
        **({"autoscale_status": _without_id(view.autoscale_status)} if view.HasField("autoscale_status") else {}),
        "spec": whole.get("spec", {}),
        "status": _without_id(view.status),
    }


def _rolled_back(view: ServiceView) -> dict[str, Any]:
    update = view.status.update
    return {
        "from_revision": view.rolled_back_from,
        "to_revision": update.effective_revision,
        "reason": update.message,
    }


def _tasks(view: ServiceView) -> dict[str, int]:
    tasks = {"desired": view.desired, "running": view.running}
    is_job = (view.service.spec.WhichOneof("mode") or "").endswith("_job")
    return {**tasks, "completed": view.completed} if is_job else tasks


def _without_id(message: Message) -> dict[str, Any]:
    return {key: value for key, value in to_document(message).items() if key != "service_id"}
