"""Any graph of services without circles comes up, and no task is made before what it waits for has held."""

from hypothesis import given, settings
from hypothesis import strategies as st

from manager.store import kinds
from shoal.api.v1.service_pb2 import Dependency, RestartPolicy, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.fakes.planner_world import World

D = Dependency


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, ServiceSpec]:
    """Services that wait only for ones before them in the alphabet; those that are to complete end by themselves."""
    specs: dict[str, ServiceSpec] = {}
    for name in "abcde"[: draw(st.integers(2, 5))]:
        spec = ServiceSpec()
        spec.task.container.image = "hello:1"
        spec.replicated.replicas = draw(st.integers(1, 3))
        for other in specs:
            if condition := draw(st.sampled_from([0, 0, D.STARTED, D.HEALTHY, D.COMPLETED])):
                spec.depends_on.add(service=other, condition=D.Condition.ValueType(condition))
        specs[name] = spec
    for spec in specs.values():
        for dependency in spec.depends_on:
            if dependency.condition == D.COMPLETED:
                specs[dependency.service].task.restart.condition = RestartPolicy.NONE
    order = draw(st.permutations(sorted(specs)))
    return {name: specs[name] for name in order}


def advance(world: World, specs: dict[str, ServiceSpec], pick: int) -> bool:
    """Let one task take its next step: run, become healthy, and end if it is to."""
    ending = {d.service for spec in specs.values() for d in spec.depends_on if d.condition == D.COMPLETED}
    ready: list[tuple[Task, TaskState.ValueType | None]] = []
    for name in sorted(specs):
        for task in world.desired(name):
            state, status = world.state(task), world.tables.task_status.get(task.id)
            if state < TaskState.RUNNING:
                ready.append((task, TaskState.RUNNING))
            elif state == TaskState.RUNNING and status is not None and status.health != TaskStatus.HEALTHY:
                ready.append((task, None))
            elif state == TaskState.RUNNING and name in ending and all(_expected_health(world, specs, name)):
                ready.append((task, TaskState.COMPLETE))
    if not ready:
        return False
    task, following = ready[pick % len(ready)]
    if following is not None:
        world.report(task, following)
    else:
        healthy = TaskStatus()
        healthy.CopyFrom(world.tables.task_status[task.id])
        healthy.health = TaskStatus.HEALTHY
        world.put(kinds.TASK_STATUS, task.id, healthy)
    return True


def _expected_health(world: World, specs: dict[str, ServiceSpec], name: str) -> list[bool]:
    """All services that wait for its health or start have seen it: a real service would not end before that either."""
    return [
        world.tables.service_status[other].unblocked_revision == 1
        for other, spec in specs.items()
        if any(d.service == name and d.condition != D.COMPLETED for d in spec.depends_on)
        and not any(d.condition == D.COMPLETED for d in spec.depends_on)
    ]


def held(world: World, specs: dict[str, ServiceSpec], name: str) -> bool:
    """The conditions of a service hold now, reckoned from the tasks alone."""
    for dependency in specs[name].depends_on:
        states = []
        for task in world.tasks(dependency.service):
            status = world.tables.task_status.get(task.id, TaskStatus())
            complete = status.state == TaskState.COMPLETE
            running = status.state == TaskState.RUNNING
            states.append(
                complete
                if dependency.condition == D.COMPLETED
                else running and status.health == TaskStatus.HEALTHY
                if dependency.condition == D.HEALTHY
                else running or complete
            )
        if sum(states) < specs[dependency.service].replicated.replicas:
            return False
    return True


@settings(max_examples=60, deadline=None)
@given(graphs(), st.lists(st.integers(0, 10_000), min_size=80, max_size=80))
def test_no_task_comes_before_its_time(specs: dict[str, ServiceSpec], picks: list[int]) -> None:
    world = World()
    world.node("h1")
    world.node("h2")
    for name, spec in specs.items():
        world.service(name, spec)
    may: set[str] = set()
    for pick in picks:
        may |= {name for name in specs if held(world, specs, name)}
        world.plan()
        assert {name for name in specs if world.tasks(name)} <= may
        if not advance(world, specs, pick):
            world.plan()
            break
    for name in specs:
        if not world.tasks(name):
            problems = world.tables.service_status[name].problems
            assert problems
            assert all(problem.startswith("waiting for ") for problem in problems)
