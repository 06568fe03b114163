"""Tasks whose node no longer meets their service's placement: they move as those of a drained node do.

Constraints, the image's platforms, what networks require of a kernel and `max_per_node` apply as they are now, and so
do the labels of nodes. Whether a node is down, drained or full is not a matter of the placement.
"""

from collections import Counter

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots, age
from manager.planner.scheduler.node_filters import unmet_constraint
from manager.planner.spec.problem_texts import stays_on_node
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_live, should_run

NOT_ADMITTED = "its node no longer meets the placement"


class MisplacedTasks:
    """The misplaced tasks of one service, as of before a pass settles slots.

    Of too many tasks on a node the newest are to leave. Which they are does not depend on what is settled, since slots
    of tasks that are to move are dirty.
    """

    def __init__(self, draft: Draft, demand: Requirements, index: ServiceSlots, *, is_global: bool = False) -> None:
        self._draft = draft
        self._demand = demand
        self._admits_all = not (demand.constraints or demand.platforms or demand.encrypted or demand.ipv6)
        self._rejected_nodes: dict[str, str] = {}
        most = 0 if is_global else demand.max_per_node
        self._surplus = _surplus(draft, index, most) if most else frozenset()

    def __bool__(self) -> bool:
        """Whether any task may be misplaced."""
        return bool(self._surplus) or not self._admits_all

    def reason(self, task: Task) -> str:
        """Why the task is to leave its node, as a predicate of the node; empty when it may stay."""
        if task.id in self._surplus:
            return f"has more than {self._demand.max_per_node} tasks of the service"
        if self._admits_all or not task.node_id:
            return ""
        known = self._rejected_nodes.get(task.node_id)
        return (
            known
            if known is not None
            else self._rejected_nodes.setdefault(task.node_id, self._check_node(task.node_id))
        )

    def move_reason(self, task: Task) -> str:
        """Why a task of the desired template is moved, one line for the user."""
        if self._draft.is_drained(task.node_id):
            return "its node is drained"
        return NOT_ADMITTED if self.reason(task) else "moved by a rebalance"

    def stay_problem(self, task: Task, why: str) -> str:
        """One line for the user: the task is to leave its node, and does not for this reason."""
        hostname = self._draft.hostname(task.node_id)
        if self._draft.is_drained(task.node_id):
            return stays_on_node(task.slot, hostname, why)
        what = self.reason(task) or "has more tasks of the service than other nodes"
        return stays_on_node(task.slot, hostname, why, what=what)

    def _check_node(self, node_id: str) -> str:
        host = self._draft.resources.hosts.get(node_id)
        if host is None or host.node is None or host.status is None:
            return ""
        reason = unmet_constraint(host, self._demand)
        return reason.one if reason is not None else ""


def _surplus(draft: Draft, index: ServiceSlots, most: int) -> frozenset[str]:
    """Ids of the newest tasks of nodes that have more than so many."""
    statuses = draft.view.task_status
    counts = Counter(index.settled_by_node)
    here: dict[str, list[Task]] = {}
    for key in index.dirty:
        for task in index.tasks[key]:
            if (
                task.node_id
                and should_run(task)
                and is_live(task, statuses.get(task.id))
                and not draft.down_status(task.node_id)
            ):
                here.setdefault(task.node_id, []).append(task)
                counts[task.node_id] += 1
    found: set[str] = set()
    for node_id, tasks in here.items():
        excess = counts[node_id] - most
        if excess > 0:
            found.update(task.id for task in sorted(tasks, key=age)[-excess:])
    return frozenset(found)
