"""Gauges of the records: what a manager knows of the cluster. Pure.

Labels are names of states alone, never of services, nodes or images: there is no end to those.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from manager.backups.schedule_rules import deadline_ms, own_status
from manager.store.kinds import LEADER
from manager.store.store import Store
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.metrics.families import MetricFamily, gauge, gauges
from shoal.node_states import NODE_STATES, node_state

TASK_STATES = {state: TaskState.Name(state).lower() for state in TaskState.values()}


def cluster_families(store: Store, manager_id: str) -> list[MetricFamily]:
    """Everything but the tasks, of which there may be a million: see `task_family`."""
    view = store.tables
    leader = view.leader.manager_id if view.leader is not None else ""
    return [
        gauge("shoal_manager_is_leader", "Whether this manager leads.", leader == manager_id),
        gauge("shoal_manager_has_leader", "Whether some manager leads.", bool(leader)),
        # A revision of etcd: it grows with each term, as a number of terms would.
        gauge("shoal_manager_term", "Number of the leader's term.", store.version_of(LEADER, "")),
        gauge("shoal_manager_managers", "Managers that are running.", len(view.managers)),
        gauge("shoal_manager_managers_registered", "Managers of the cluster.", len(view.registered_managers)),
        gauge("shoal_manager_nodes_joined", "Nodes that have joined.", len(view.nodes)),
        _node_family(view),
        gauge("shoal_manager_services", "Services.", len(view.services)),
        gauge("shoal_manager_containers", "Containers that are not of a service.", len(view.containers)),
        gauge("shoal_manager_networks", "Networks.", len(view.networks)),
        gauge("shoal_manager_volumes", "Volumes.", len(view.volumes)),
        gauge("shoal_manager_node_network_problems", "Nodes that report a problem.", _nodes_with_problems(view)),
        *backup_families(view),
        gauge("shoal_store_revision", "Revision of etcd that this manager has read to.", view.revision),
    ]


def backup_families(view: View) -> list[MetricFamily]:
    """Without a schedule only the first one has a value, and before the first success the time of it has none."""
    schedule = view.backup_schedule
    interval = last = deadline = failures = None
    if schedule is not None:
        own = own_status(schedule, view.backup_status)
        interval, failures = schedule.every_ms / 1000, own.failures
        last = own.succeeded_at_ms / 1000 or None
        deadline = deadline_ms(schedule, own) / 1000
    name = "shoal_manager_backup"
    return [
        gauge(f"{name}_scheduled", "Whether there is a schedule of backups.", schedule is not None),
        gauge(f"{name}_interval_seconds", "Time between scheduled backups.", interval),
        gauge(f"{name}_last_success_timestamp_seconds", "When the last scheduled backup was stored.", last),
        gauge(
            f"{name}_deadline_timestamp_seconds", "When scheduled backups are overdue without another one.", deadline
        ),
        gauge(f"{name}_consecutive_failures", "Scheduled backups that failed since the last success.", failures),
    ]


def _node_family(view: View) -> MetricFamily:
    return gauges("shoal_manager_nodes", "Nodes by state.", "state", _by_state(view.node_status.values()))


def _by_state(statuses: Iterable[NodeStatus]) -> dict[str, float]:
    found = Counter(map(node_state, statuses))
    return {state: found[state] for state in NODE_STATES}


def _nodes_with_problems(view: View) -> int:
    return sum(bool(status.network_condition.problems) for status in view.node_status.values())


def task_family(tasks: int, statuses: Sequence[TaskStatus]) -> MetricFamily:
    """Tasks by the state that their nodes reported last; those without one are `new`."""
    found = Counter(status.state for status in statuses)
    values: dict[str, float] = {name: found[state] for state, name in TASK_STATES.items() if state}
    unspecified = max(0, tasks - len(statuses)) + found[TaskState.ValueType(0)]
    values["new"] = values.get("new", 0) + unspecified
    return gauges("shoal_manager_tasks", "Tasks by state.", "state", values)
