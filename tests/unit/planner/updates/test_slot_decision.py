"""A decision about a slot says all that it does: each field counts, none is dropped, and nothing else is written."""

import pytest

from manager.planner.draft import Draft
from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.orchestrator.pass_decisions import PassDecisions
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.slots.slot_tasks import Slot, TaskStop
from manager.planner.updates.slot_decision import NOTHING, SlotDecision
from manager.planner.updates.update_pace import Replacement, UnavailableSlot
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Replicated, RestartPolicy, ServiceSpec, TaskTemplate, UpdateConfig
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.planner_world import IdSource, World
from tests.unit.planner.model.model_decisions import decisions

TASK = Task(id="t1", service_id="web", node_id="h1", slot=1, desired_state=TaskState.RUNNING)
EXAMPLES: dict[str, object] = {
    "stops": (TaskStop(TASK, TaskState.SHUTDOWN, "its node is drained"),),
    "new_revisions": ((TASK, 2),),
    "requeue_at_ms": 5,
    "requests": (PlacementRequest(1),),
    "stable_requests": (PlacementRequest(1),),
    "replacement": Replacement(TASK, ready=True, outdated=True),
    "unavailable": UnavailableSlot(),
    "stable_unavailable": UnavailableSlot(),
    "outdated": TASK,
    "expected": TASK,
    "is_stable": True,
    "problems": frozenset({"task 1 failed: exit code 3"}),
}


def draft(world: World) -> Draft:
    view = world.tables
    resources, slot_index = ResourceIndex.of(view), SlotIndex.of(view, ["web"])
    return Draft(view=view, resources=resources, slot_index=slot_index, now_ms=world.now_ms, new_id=IdSource(0))


def effects(drafted: Draft, collected: PassDecisions) -> tuple[object, ...]:
    lists = [value for name, value in vars(collected).items() if not name.startswith("_")]
    return drafted.writes(), dict(drafted.timers), [sorted(map(str, value)) for value in lists]


@pytest.mark.parametrize("name", SlotDecision._fields)
def test_each_field_counts_and_has_an_effect(name: str) -> None:
    decision = SlotDecision(**{name: EXAMPLES[name]})  # type: ignore[arg-type]
    assert decision != NOTHING
    drafted = draft(World())
    collected = PassDecisions(drafted, "web")
    collected.add(Slot(1), NOTHING)
    before = effects(drafted, collected)
    collected.add(Slot(1), decision)
    assert effects(drafted, collected) != before


def check(world: World) -> None:
    decisions(world)


def spec(image: str, replicas: int, update: UpdateConfig) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate(), update=update)
    made.task.container.image = image
    made.task.restart.CopyFrom(RestartPolicy(max_attempts=2))
    return made


@pytest.mark.parametrize("order", [UpdateConfig.START_FIRST, UpdateConfig.STOP_FIRST])
@pytest.mark.parametrize("canaries", [0, 1])
def test_decisions_write_nothing(order: UpdateConfig.Order.ValueType, canaries: int) -> None:
    world = World()
    for number in range(1, 4):
        world.node(f"h{number}")
    update = UpdateConfig(order=order, canary=canaries, parallelism=2)
    world.observers.append(lambda: check(world))
    world.service("web", spec("hello:1", 4, update))
    world.settle()
    world.service("web", spec("hello:2", 6, update))
    for _ in range(3):
        world.plan()
        world.obey()
    world.report(world.running("web")[-1], TaskState.FAILED, message="exit code 3")
    world.plan()
    world.set_availability("h1", NodeSpec.DRAIN)
    world.plan()
    world.obey()
    world.set_state("h2", NodeStatus.DOWN)
    world.settle()


def test_a_slot_that_is_as_it_is_to_be_has_no_decision() -> None:
    world = World()
    world.node("h1")
    world.service("web", spec("hello:1", 2, UpdateConfig()))
    world.plan()
    assert any(decision != NOTHING for decision in decisions(world)), "tasks that are not ready are waited for"
    world.settle()
    assert all(decision == NOTHING for decision in decisions(world))
