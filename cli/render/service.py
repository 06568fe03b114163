"""A service as `service inspect` shows it."""

from typing import Any

from cli.render.structure import to_document
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
        "tasks": {"desired": view.desired, "running": view.running},
        "spec": whole.get("spec", {}),
        "status": {key: value for key, value in to_document(view.status).items() if key != "service_id"},
    }
