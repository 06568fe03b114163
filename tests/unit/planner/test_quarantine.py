"""A service whose planning raises is left as it is and says so; all others are planned."""

from manager.planner.plan import plan
from manager.planner.quarantine import RETRY_MS, describe
from shoal.api.v1.service_pb2 import Replicated, ReplicatedJob, Schedule, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import World

DAMAGED = ServiceSpec(replicated_job=ReplicatedJob(), schedule=Schedule(cron="no cron at all"))
"""The control API refuses such a schedule; here it is a record that another version wrote, or lost a bit of."""


def web(replicas: int, image: str = "a:1") -> ServiceSpec:
    template = TaskTemplate()
    template.container.image = image
    return ServiceSpec(task=template, replicated=Replicated(replicas=replicas))


def world() -> World:
    made = World()
    for name in ("h1", "h2"):
        made.node(name)
    made.service("web", web(3))
    made.settle()
    return made


def damage(world: World, name: str) -> None:
    """The service becomes one that is never planned without an exception."""
    world.service(name, DAMAGED)


def test_the_others_are_planned() -> None:
    cluster = world()
    damage(cluster, "web")
    cluster.service("api", web(4))
    cluster.service("zoo", web(2))
    outcome = cluster.plan()
    assert set(outcome.quarantined) == {"web"}
    assert len(cluster.tasks("api")) == 4
    assert len(cluster.tasks("zoo")) == 2


def test_its_tasks_stay_as_they_are_and_its_status_says_why() -> None:
    cluster = world()
    before = cluster.tasks("web")
    damage(cluster, "web")
    outcome = cluster.plan()
    assert cluster.tasks("web") == before
    status = cluster.tables.service_status["web"]
    assert status.planning_error.startswith("planning failed and the service was left unchanged (CronSimError: ")
    assert status.planning_error == describe(outcome.quarantined["web"])
    assert not cluster.plan().writes


def test_what_it_holds_stays_its_own() -> None:
    cluster = World()
    cluster.node("h1", memory=100)
    spec = web(1)
    spec.task.reservations.memory_bytes = 100
    cluster.service("web", spec)
    cluster.settle()
    damage(cluster, "web")
    cluster.service("api", spec)
    cluster.plan()
    assert [task.state for task in cluster.tasks("api")] == [TaskState.PENDING]


def test_it_is_tried_again_after_a_while_and_when_it_changes() -> None:
    cluster = world()
    damage(cluster, "web")
    assert cluster.plan().quarantined
    cluster.report(cluster.tasks("web")[0], TaskState.FAILED)
    assert not cluster.planner.plan(now_ms=cluster.now_ms, new_id=str).quarantined
    due = cluster.planner.next_due_ms()
    assert due == cluster.now_ms + RETRY_MS
    cluster.now_ms = due
    assert cluster.planner.plan(now_ms=cluster.now_ms, new_id=str).quarantined
    cluster.service("web", web(1, "a:2"))
    cluster.settle()
    assert not cluster.tables.service_status["web"].planning_error
    assert {task.revision for task in cluster.running("web")} == {cluster.tables.services["web"].revision}


def test_a_new_leader_goes_on_too() -> None:
    cluster = world()
    damage(cluster, "web")
    cluster.plan(cut=0)
    cluster.service("api", web(1))
    cluster.plan()
    cluster.obey()
    cluster.plan()
    assert len(cluster.running("api")) == 1


def test_any_number_of_them() -> None:
    cluster = world()
    for number in range(20):
        cluster.service(f"broken{number}", web(0))
    cluster.settle()
    for number in range(20):
        damage(cluster, f"broken{number}")
    cluster.service("api", web(2))
    view = cluster.tables
    once = plan(view, now_ms=cluster.now_ms, new_id=lambda: "t")
    assert once == plan(view, now_ms=cluster.now_ms, new_id=lambda: "t")
    assert len(cluster.plan().quarantined) == 20
    assert len(cluster.tasks("api")) == 2


def test_a_fault_is_one_line() -> None:
    assert "\n" not in describe(ValueError("one\ntwo\n" + 1000 * "x"))
    assert len(describe(ValueError(1000 * "x"))) < 500
    assert "(KeyError)" in describe(KeyError())
