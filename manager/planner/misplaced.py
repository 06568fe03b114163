"""Tasks that run where their service's placement would not have them any more: they move, as those of a drain do.

Constraints, the image's platforms and what a network asks of a kernel count as they are now, and a node's labels too;
so does `max_per_node`. A node that is away or drained is no matter of the placement, and neither is room.
"""

from collections import Counter

from manager.planner.demand import Demand
from manager.planner.draft import Draft
from manager.planner.filters import unmet
from manager.planner.rolls import Roll
from manager.planner.slots import age
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_live, is_wanted

PLACEMENT = "the placement does not admit its node any more"


class Misplaced:
    """Of one replicated service, before a pass makes slots quiet.

    Which of too many tasks on a node are to go does not depend on what is quiet: the newest, and those are loud, since
    what is to move is not at rest.
    """

    def __init__(self, draft: Draft, demand: Demand, roll: Roll, *, is_global: bool = False) -> None:
        self._draft = draft
        self._demand = demand
        self._is_open = not (demand.constraints or demand.platforms or demand.encrypted or demand.ipv6)
        self._barred: dict[str, str] = {}
        most = 0 if is_global else demand.max_per_node
        self._surplus = _surplus(draft, roll, most) if most else frozenset()

    def __bool__(self) -> bool:
        """Whether any task may be misplaced."""
        return bool(self._surplus) or not self._is_open

    def why(self, task: Task) -> str:
        """Why the task is to leave its node, said of the node; empty when it may stay."""
        if task.id in self._surplus:
            return f"has more than {self._demand.max_per_node} of the service"
        if self._is_open or not task.node_id:
            return ""
        known = self._barred.get(task.node_id)
        return known if known is not None else self._barred.setdefault(task.node_id, self._look(task.node_id))

    def moved(self, task: Task) -> str:
        """Why a task that runs what is wanted was moved."""
        if self._draft.is_drained(task.node_id):
            return "its node is drained"
        return PLACEMENT if self.why(task) else "moved to even the service out"

    def stays(self, task: Task, why: str) -> str:
        """One line for the user: the task is to leave its node, and does not for this reason."""
        drained = self._draft.is_drained(task.node_id)
        what = "is drained" if drained else self.why(task) or "has more of the service than others"
        return f"task {task.slot} stays on node {self._draft.hostname(task.node_id)}, which {what}: {why}"

    def _look(self, node_id: str) -> str:
        host = self._draft.ledger.hosts.get(node_id)
        if host is None or host.node is None or host.status is None:
            return ""
        reason = unmet(host, self._demand)
        return reason.one if reason is not None else ""


def _surplus(draft: Draft, roll: Roll, most: int) -> frozenset[str]:
    """Ids of the newest tasks of nodes that have more than so many."""
    statuses = draft.view.task_status
    counts = Counter(roll.homes)
    here: dict[str, list[Task]] = {}
    for key in roll.loud:
        for task in roll.tasks[key]:
            if (
                task.node_id
                and is_wanted(task)
                and is_live(task, statuses.get(task.id))
                and not draft.down(task.node_id)
            ):
                here.setdefault(task.node_id, []).append(task)
                counts[task.node_id] += 1
    found: set[str] = set()
    for node_id, tasks in here.items():
        excess = counts[node_id] - most
        if excess > 0:
            found.update(task.id for task in sorted(tasks, key=age)[-excess:])
    return frozenset(found)
