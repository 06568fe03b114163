"""Filters of tasks (`docker service ps`, `docker stack ps`, `docker node ps`)."""

from collections.abc import Mapping

from shoal.api.v1.control_pb2 import TaskView
from shoal.api.v1.task_pb2 import TaskState
from shoal.filters.filters import Filter, Filters, beginning, exact, labelled
from shoal.task_states import goal, observed, task_name

STATES = tuple(name.lower() for name, number in TaskState.items() if number)


def _desired(view: TaskView) -> str:
    return TaskState.Name(TaskState.ValueType(goal(view.task, observed(view.task, view.status)))).lower()


def _state(view: TaskView) -> str:
    return TaskState.Name(TaskState.ValueType(observed(view.task, view.status))).lower()


def _is_on(view: TaskView, node: str) -> bool:
    return view.node_hostname == node or (bool(node) and view.task.node_id.startswith(node))


def _is_of(view: TaskView, service: str) -> bool:
    return view.service_name == service or (bool(service) and view.task.service_id.startswith(service))


def task_filters(labels: Mapping[str, Mapping[str, str]]) -> Filters[TaskView]:
    """The filters of tasks.

    Args:
        labels: those of the services by their ids, for `label`.
    """
    return Filters(
        {
            "desired-state": exact(_desired, STATES),
            "id": beginning(lambda view: view.task.id),
            "label": labelled(lambda view: labels.get(view.task.service_id, {})),
            "name": beginning(lambda view: task_name(view.service_name, view.task)),
            "node": Filter(_is_on),
            "service": Filter(_is_of),
            "state": exact(_state, STATES),
        }
    )


TASKS = task_filters({})
"""For their keys."""
