"""Filters of tasks (`docker service ps`, `docker stack ps`, `docker node ps`)."""

from collections.abc import Mapping

from shoal.api.v1.control_pb2 import TaskView
from shoal.api.v1.task_pb2 import TaskState
from shoal.filters.filter_set import FilterSet, KeyFilter, exact_filter, label_filter, prefix_filter
from shoal.task_states import observed_state, shown_desired_state, task_name

STATES = tuple(name.lower() for name, number in TaskState.items() if number)


def _desired(view: TaskView) -> str:
    return TaskState.Name(
        TaskState.ValueType(shown_desired_state(view.task, observed_state(view.task, view.status)))
    ).lower()


def _state(view: TaskView) -> str:
    return TaskState.Name(TaskState.ValueType(observed_state(view.task, view.status))).lower()


def _is_on_node(view: TaskView, node: str) -> bool:
    return view.node_hostname == node or (bool(node) and view.task.node_id.startswith(node))


def _is_of_service(view: TaskView, service: str) -> bool:
    return view.service_name == service or (bool(service) and view.task.service_id.startswith(service))


def task_filters(labels: Mapping[str, Mapping[str, str]]) -> FilterSet[TaskView]:
    """The filters of tasks.

    Args:
        labels: those of the services by their ids, for `label`.
    """
    return FilterSet(
        {
            "desired-state": exact_filter(_desired, STATES),
            "id": prefix_filter(lambda view: view.task.id),
            "label": label_filter(lambda view: labels.get(view.task.service_id, {})),
            "name": prefix_filter(lambda view: task_name(view.service_name, view.task)),
            "node": KeyFilter(_is_on_node),
            "service": KeyFilter(_is_of_service),
            "state": exact_filter(_state, STATES),
        }
    )


TASKS = task_filters({})
"""For their keys."""
