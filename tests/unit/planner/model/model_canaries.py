"""What the model checks of canaries: how many there are, and that every other slot keeps what ran before."""

from collections.abc import Iterable, Mapping

from manager.planner.spec.effective_spec import current_update
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates import update_state
from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_live, should_run
from tests.unit.planner.model.model_counts import COUNTED

Key = int | str


def check_canaries(view: View, service: Service, before: Mapping[str, Task]) -> None:
    """While an update waits for its promotion, no pass makes more slots run its template than canaries, whatever is
    scaled, ends or moves; and where there are enough of them, no other slot becomes one.

    Args:
        before: all tasks as they were before the pass, in which the update may have begun.
    """
    update = current_update(view, service)
    if update is None or not update_state.awaits_promotion(update, service.spec.update):
        return
    COUNTED["canary passes"] += 1
    known = [task for task in before.values() if task.service_id == service.meta.id]
    after = list(view.tasks_of(service.meta.id).values())
    old, new = _canaries(view, service, known), _canaries(view, service, after)
    most = max(service.spec.update.canary, len(old))
    assert len(new) <= most, f"{len(new)} slots are canaries, more than {most}: {sorted(map(str, new))}"
    held = {task.slot or task.node_id for task in after if task.desired_state < TaskState.REMOVE}
    stay = old & held if service.spec.HasField("replicated") else old & new  # others are given up in this pass
    if len(stay) >= service.spec.update.canary:
        assert new <= old, f"slots {sorted(map(str, new - old))} have become canaries, and {old} were"
    _count(view, service, before, new)


def _canaries(view: View, service: Service, tasks: Iterable[Task]) -> set[Key]:
    desired = DesiredTemplate(view, service)
    living = (task for task in tasks if should_run(task) and is_live(task, view.task_status.get(task.id)))
    return {task.slot or task.node_id for task in living if not desired.differs(task)}


def _count(view: View, service: Service, before: Mapping[str, Task], canaries: set[Key]) -> None:
    made = [task for task in view.tasks_of(service.meta.id).values() if task.id not in before]
    kept = [task for task in made if (task.slot or task.node_id) not in canaries]
    COUNTED["slots kept from the canaries"] += len(kept)
    places = {(task.slot, task.node_id) for task in before.values() if task.service_id == service.meta.id}
    slots = {slot for slot, _ in places}
    COUNTED["stable moves"] += sum(task.slot in slots and (task.slot, task.node_id) not in places for task in kept)
