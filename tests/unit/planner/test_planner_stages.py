"""Each stage of the planner in virtual time: slots, restarts, updates, drains, addresses, ports, removal."""

import pytest

from manager.planner.plan import plan
from manager.store import kinds
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    Endpoint,
    Global,
    NetworkAttachment,
    Placement,
    PublishedPort,
    Replicated,
    RestartPolicy,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
    UpdateStatus,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import GIB, World

MIB = 1 << 20


def world(nodes: int = 3) -> World:
    made = World()
    for number in range(1, nodes + 1):
        made.node(f"h{number}")
    return made


def spec(replicas: int = 3, *, image: str = "hello:1", memory: int = 0) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate())
    made.task.container.image = image
    if memory:
        made.task.reservations.CopyFrom(Resources(memory_bytes=memory))
    return made


def test_a_new_service_is_written_once_with_nodes_and_addresses() -> None:
    cluster = world()
    cluster.network("front")
    requested = spec(3)
    requested.task.networks.append(NetworkAttachment(network="front"))
    cluster.service("web", requested)
    outcome = cluster.plan()
    assert [write.kind.name for write in outcome.writes] == ["allocation", "task", "task", "task", "service status"]
    assert cluster.by_node("web") == {"h1": 1, "h2": 1, "h3": 1}
    assert [task.slot for task in cluster.tasks("web")] == [1, 2, 3]
    assert [task.addresses[0].address for task in cluster.tasks("web")] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert {task.state for task in cluster.tasks("web")} == {TaskState.ASSIGNED}
    assert cluster.plan().writes == ()


def test_a_task_without_a_node_says_why_and_keeps_its_record() -> None:
    cluster = world(3)
    cluster.set_availability("h1", NodeSpec.DRAIN)
    cluster.service("web", spec(5, memory=512 * MIB))
    cluster.settle()
    pending = [task for task in cluster.desired("web") if not task.node_id]
    assert [task.reason for task in pending] == ["no suitable node: 1 of 3 drained, 2 of 3 lack 512 MiB of memory"]
    assert list(cluster.tables.service_status["web"].problems) == [pending[0].reason]
    cluster.node("h4")
    cluster.settle()
    placed = cluster.tables.tasks[pending[0].id]
    assert (placed.node_id, placed.slot, placed.reason) == ("h4", pending[0].slot, "")
    assert list(cluster.tables.service_status["web"].problems) == []


def test_scaling_down_stops_the_idle_first_and_keeps_the_spread() -> None:
    cluster = world(3)
    cluster.service("web", spec(7))
    cluster.settle()
    assert sorted(cluster.by_node("web").values()) == [2, 2, 3]
    cluster.service("web", spec(3))
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 1, "h2": 1, "h3": 1}
    assert len(cluster.tasks("web")) == 3  # those that were scaled away are forgotten
    cluster.service("web", spec(4))
    cluster.plan()
    cluster.service("web", spec(3))
    started = {task.id for task in cluster.running("web")}
    cluster.settle()
    assert {task.id for task in cluster.running("web")} == started


def test_restarts_wait_longer_and_longer_and_keep_five_in_history() -> None:
    cluster = world(1)
    cluster.service("web", spec(1))
    delays = []
    for _ in range(9):
        cluster.plan()
        [task] = cluster.desired("web")
        cluster.report(task, TaskState.RUNNING)
        cluster.report(task, TaskState.FAILED, message="exit 1")
        ended_at = cluster.now_ms
        assert cluster.plan().timers["web"] > cluster.now_ms
        assert cluster.desired("web") == []
        cluster.now_ms = cluster.planner.next_due_ms() or 0
        delays.append((cluster.now_ms - ended_at) / 1000)
    for delay, base in zip(delays, [5, 10, 20, 40, 80, 160, 300, 300, 300], strict=True):
        assert base <= delay <= 1.2 * base
    assert len(set(delays)) == 9  # what failed together does not come back together
    cluster.plan()
    assert len([task for task in cluster.tasks("web") if task not in cluster.live("web")]) == 5
    [task] = cluster.desired("web")
    cluster.report(task, TaskState.RUNNING)
    cluster.now_ms += 120_000
    cluster.report(task, TaskState.FAILED)
    cluster.plan()
    assert cluster.planner.next_due_ms() == cluster.now_ms + 5_000  # it ran long enough to be no crash loop


@pytest.mark.parametrize(
    ("condition", "end", "again"),
    [
        (RestartPolicy.ANY, TaskState.COMPLETE, True),
        (RestartPolicy.ON_FAILURE, TaskState.COMPLETE, False),
        (RestartPolicy.ON_FAILURE, TaskState.FAILED, True),
        (RestartPolicy.ON_FAILURE, TaskState.REJECTED, True),
        (RestartPolicy.NONE, TaskState.FAILED, False),
    ],
)
def test_the_condition_decides_on_a_restart(
    condition: RestartPolicy.Condition.ValueType, end: TaskState.ValueType, again: bool
) -> None:
    cluster = world(1)
    requested = spec(1)
    requested.task.restart.CopyFrom(RestartPolicy(condition=condition, delay_ms=0))
    cluster.service("web", requested)
    cluster.plan()
    cluster.report(cluster.desired("web")[0], end)
    cluster.plan()
    assert bool(cluster.desired("web")) is again


def test_attempts_are_bounded_and_a_new_template_begins_anew() -> None:
    cluster = world(1)
    requested = spec(1)
    requested.task.restart.CopyFrom(RestartPolicy(max_attempts=2))
    cluster.service("web", requested)
    made = set()
    for _ in range(6):
        cluster.plan()
        for task in cluster.desired("web"):
            made.add(task.id)
            cluster.report(task, TaskState.FAILED, message="exit 7")
        cluster.now_ms += 600_000
    assert len(made) == 3
    assert list(cluster.tables.service_status["web"].problems) == ["task 1 failed after 2 restarts: exit 7"]
    requested.task.container.image = "hello:2"
    cluster.service("web", requested)
    cluster.settle()
    assert [(task.revision, task.attempt) for task in cluster.running("web")] == [(2, 0)]


def test_an_agents_clock_ahead_of_ours_does_not_hold_a_restart_up() -> None:
    cluster = world(1)
    cluster.service("web", spec(1))
    cluster.plan()
    [task] = cluster.desired("web")
    cluster.report(task, TaskState.FAILED, at_ms=cluster.now_ms + 3_600_000)
    cluster.plan()
    assert cluster.planner.next_due_ms() == cluster.now_ms + 5_000


def test_an_update_replaces_one_at_a_time_and_waits_until_it_runs() -> None:
    cluster = world(3)
    cluster.service("web", spec(3))
    cluster.settle()
    cluster.service("web", spec(3, image="hello:2"))
    for _ in range(20):
        cluster.plan()
        assert len(cluster.running("web")) >= 2
        cluster.obey()
        cluster.now_ms += 500
    assert [task.revision for task in cluster.running("web")] == [2, 2, 2]
    status = cluster.tables.service_status["web"].update
    assert (status.state, status.task_revision) == (UpdateStatus.COMPLETED, 2)
    assert [task.desired_state for task in cluster.tasks("web") if task.revision == 1] == [TaskState.SHUTDOWN] * 3


def test_a_broken_update_stops_after_its_first_batch() -> None:
    cluster = world(3)
    cluster.service("web", spec(6))
    cluster.settle()
    requested = spec(6, image="broken")
    requested.update.parallelism = 2
    cluster.service("web", requested)
    for _ in range(30):
        cluster.plan()
        for task in cluster.live("web"):
            if task.revision == 2:
                cluster.report(task, TaskState.REJECTED, message="no such image")
            elif task.desired_state > TaskState.RUNNING:
                cluster.report(task, TaskState.SHUTDOWN)
        cluster.now_ms += 1_000
    untouched = {task.id for task in cluster.running("web")}
    assert [task.revision for task in cluster.running("web")] == [1] * 4
    cluster.service("web", spec(6))
    cluster.settle()
    assert len(cluster.running("web")) == 6
    # The old template again: those that ran it all along were not restarted, and count as up to date.
    assert {task.revision for task in cluster.running("web")} == {3}
    assert untouched < {task.id for task in cluster.running("web")}


def test_start_first_never_has_fewer_and_rests_between_batches() -> None:
    cluster = world(3)
    cluster.service("web", spec(3))
    cluster.settle()
    requested = spec(3, image="hello:2")
    requested.update.CopyFrom(UpdateConfig(order=UpdateConfig.START_FIRST, delay_ms=10_000))
    cluster.service("web", requested)
    began = cluster.now_ms
    while {task.revision for task in cluster.running("web")} != {2} or len(cluster.running("web")) != 3:
        cluster.plan()
        assert 3 <= len(cluster.desired("web")) <= 4
        assert len(cluster.running("web")) >= 3
        if not cluster.obey():
            cluster.now_ms = cluster.planner.next_due_ms() or cluster.now_ms
        assert cluster.now_ms < began + 60_000
    assert cluster.now_ms - began == 21_000  # the last one has to run for a second before it counts


def test_labels_replicas_and_placement_restart_nothing() -> None:
    cluster = world(2)
    cluster.service("web", spec(2))
    cluster.settle()
    before = {task.id for task in cluster.running("web")}
    requested = spec(2)
    requested.labels["a"] = "b"
    requested.task.placement.max_per_node = 2
    requested.task.restart.delay_ms = 1
    cluster.service("web", requested)
    cluster.settle()
    assert {task.id for task in cluster.running("web")} == before
    requested.endpoint.CopyFrom(Endpoint(ports=[PublishedPort(target=80, mode=PublishedPort.HOST)]))
    cluster.service("web", requested)
    cluster.settle()
    assert not {task.id for task in cluster.running("web")} & before
    assert all(task.ports for task in cluster.running("web"))


def test_a_lost_node_is_replaced_at_once_and_given_up_after_a_day() -> None:
    cluster = world(3)
    cluster.network("front")
    requested = spec(3)
    requested.task.networks.append(NetworkAttachment(network="front"))
    cluster.service("web", requested)
    cluster.settle()
    [lost] = [task for task in cluster.running("web") if task.node_id == "h2"]
    cluster.set_state("h2", NodeStatus.DOWN)
    cluster.plan()
    gone = cluster.tables.tasks[lost.id]
    assert (gone.desired_state, gone.reason) == (TaskState.SHUTDOWN, "node h2 is down")
    assert len(cluster.desired("web")) == 3
    held = lost.addresses[0].address
    assert held not in {task.addresses[0].address for task in cluster.desired("web")}
    due = cluster.planner.next_due_ms()
    assert due == cluster.now_ms + 24 * 3_600_000
    cluster.now_ms = due
    cluster.plan()
    assert cluster.tables.tasks[lost.id].state == TaskState.ORPHANED
    assert len(cluster.planner.resources.pool("front").used) == 4  # the service's own among them


def test_a_removed_node_takes_its_tasks_with_it() -> None:
    cluster = world(2)
    cluster.service("web", spec(2))
    cluster.settle()
    cluster.put(kinds.NODE, "h2", None)
    cluster.put(kinds.NODE_STATUS, "h2", None)
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 2}
    assert len(cluster.tables.tasks) == len(cluster.tables.task_status) == 2


def test_a_drained_node_is_emptied_one_task_at_a_time() -> None:
    cluster = world(3)
    cluster.service("web", spec(6))
    cluster.settle()
    cluster.set_availability("h3", NodeSpec.DRAIN)
    while cluster.by_node("web").get("h3"):
        cluster.plan()
        assert len(cluster.running("web")) >= 5
        cluster.obey()
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 3, "h2": 3}
    assert not cluster.tables.service_status.get("web")  # a drain is no update


def test_a_drain_goes_on_after_an_update_that_was_rolled_back() -> None:
    cluster = world(3)
    cluster.service("web", spec(3))
    cluster.settle()
    cluster.service("web", spec(3, image="broken"))
    while cluster.tables.service_status.get("web") is None or not cluster.tables.service_status["web"].update.message:
        cluster.plan()
        for task in cluster.live("web"):
            if task.revision == 2:
                cluster.report(task, TaskState.FAILED, message="exit 7")
            elif task.desired_state > TaskState.RUNNING:
                cluster.report(task, TaskState.SHUTDOWN)
    cluster.settle()
    update = cluster.tables.service_status["web"].update
    assert (update.state, update.effective_revision) == (UpdateStatus.ROLLED_BACK, 1)
    assert update.message == "1 of 3 tasks failed: exit 7"
    assert [task.revision for task in cluster.running("web")] == [1, 1, 1]
    cluster.service("web", spec(3))  # the user takes back what failed: nothing is to be replaced
    cluster.set_availability("h3", NodeSpec.DRAIN)
    cluster.settle()
    assert set(cluster.by_node("web")) == {"h1", "h2"}


def test_a_paused_node_keeps_its_tasks_and_gets_no_more() -> None:
    cluster = world(2)
    cluster.service("web", spec(2))
    cluster.settle()
    cluster.set_availability("h2", NodeSpec.PAUSE)
    cluster.service("web", spec(4))
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 3, "h2": 1}


def test_a_global_service_follows_the_nodes() -> None:
    cluster = world(2)
    requested = spec(0)
    getattr(requested, "global").CopyFrom(Global())
    requested.task.placement.CopyFrom(Placement(constraints=["node.hostname != h3"]))
    cluster.service("agent", requested)
    cluster.settle()
    cluster.node("h3")
    cluster.node("h4")
    cluster.settle()
    assert cluster.by_node("agent") == {"h1": 1, "h2": 1, "h4": 1}
    cluster.set_availability("h1", NodeSpec.DRAIN)
    cluster.settle()
    assert cluster.by_node("agent") == {"h2": 1, "h4": 1}
    requested.task.container.image = "hello:2"
    cluster.service("agent", requested)
    cluster.settle()
    assert [task.revision for task in cluster.running("agent")] == [2, 2]
    cluster.node("h5", memory=1)
    requested.task.reservations.memory_bytes = GIB // 2
    cluster.service("agent", requested)
    cluster.settle()
    assert list(cluster.tables.service_status["agent"].problems) == ["node h5 lacks 512 MiB of memory"]


def test_host_ports_are_one_task_each() -> None:
    cluster = world(2)
    requested = spec(3)
    port = PublishedPort(target=80, published=8080, mode=PublishedPort.HOST)
    requested.endpoint.CopyFrom(Endpoint(ports=[port, PublishedPort(target=81, mode=PublishedPort.HOST)]))
    cluster.service("web", requested)
    cluster.settle()
    assert [task.reason for task in cluster.desired("web") if task.reason] == [
        "no suitable node: 2 of 2 have port 8080 in use"
    ]
    assert [[port.published for port in task.ports] for task in cluster.running("web")] == [[8080, 30000]] * 2


def test_tasks_of_a_node_choose_of_a_range_of_ports() -> None:
    cluster = world(1)
    requested = spec(3)
    ports = [PublishedPort(target=80, published_first=8080, published_last=8081, mode=PublishedPort.HOST)]
    requested.endpoint.CopyFrom(Endpoint(ports=ports))
    cluster.service("web", requested)
    cluster.settle()
    assert sorted(task.ports[0].published for task in cluster.running("web")) == [8080, 8081]
    assert [task.reason for task in cluster.desired("web") if task.reason] == [
        "no suitable node: 1 of 1 has ports 8080 to 8081 in use"
    ]


def test_no_task_goes_where_a_program_of_the_host_has_its_port() -> None:
    cluster = world(2)
    status = NodeStatus()
    status.CopyFrom(cluster.tables.node_status["h1"])
    for taken in (8080, 30000):
        status.network_condition.listeners.add(protocol=PublishedPort.TCP, port=taken, program="nginx")
    cluster.put(kinds.NODE_STATUS, "h1", status)
    port = PublishedPort(target=80, published=8080, mode=PublishedPort.HOST)
    requested = spec(2)
    requested.endpoint.CopyFrom(Endpoint(ports=[port]))
    cluster.service("web", requested)
    chosen = spec(2)
    chosen.endpoint.CopyFrom(Endpoint(ports=[PublishedPort(target=81, mode=PublishedPort.HOST)]))
    cluster.service("shop", chosen)
    cluster.settle()
    assert [task.node_id for task in cluster.running("web")] == ["h2"]
    assert [task.reason for task in cluster.desired("web") if task.reason] == [
        "no suitable node: 1 of 2 has port 8080 in use, 1 of 2 has port 8080 in use by nginx"
    ]
    assert {task.node_id: task.ports[0].published for task in cluster.running("shop")} == {"h1": 30001, "h2": 30000}
    status.ClearField("network_condition")
    cluster.put(kinds.NODE_STATUS, "h1", status)
    cluster.settle()
    assert sorted(task.node_id for task in cluster.running("web")) == ["h1", "h2"]


def test_an_address_that_has_just_become_free_rests() -> None:
    cluster = world(1)
    cluster.network("front", "10.9.0.0/29")
    requested = spec(2)
    requested.endpoint.mode = Endpoint.DNSRR
    requested.task.networks.append(NetworkAttachment(network="front"))
    cluster.service("web", requested)
    cluster.settle()
    for expected in (["10.9.0.3", "10.9.0.4"], ["10.9.0.4", "10.9.0.5"], ["10.9.0.5", "10.9.0.6"]):
        cluster.report(min(cluster.running("web"), key=lambda task: task.created_at_ms), TaskState.FAILED)
        cluster.settle()
        assert sorted(task.addresses[0].address for task in cluster.running("web")) == expected
    requested.replicated.replicas = 6
    cluster.service("web", requested)
    cluster.settle()
    assert len(cluster.running("web")) == 5
    reasons = {task.reason for task in cluster.desired("web")} - {""}
    assert reasons == {"network front has no free address: all 5 are in use"}


def test_subnets_are_disjoint_and_what_the_user_gives_comes_first() -> None:
    cluster = world(1)
    cluster.network("a")
    cluster.network("b", "10.0.0.0/23")
    cluster.network("c")
    cluster.network("d", "10.0.1.0/24")
    cluster.plan()
    found = {name: allocation.subnet for name, allocation in cluster.tables.allocations.items()}
    assert found == {"b": "10.0.0.0/23", "a": "10.0.32.0/24", "c": "10.0.64.0/24"}
    requested = spec(1)
    requested.task.networks.append(NetworkAttachment(network="d"))
    cluster.service("web", requested)
    cluster.plan()
    assert "network d has no subnet" in cluster.tasks("web")[0].reason


def test_a_removed_service_leaves_nothing() -> None:
    cluster = world(2)
    cluster.service("web", spec(5, memory=512 * MIB))
    cluster.settle()
    cluster.put(kinds.SERVICE, "web", None)
    cluster.plan()
    assert {task.desired_state for task in cluster.tasks("web")} == {TaskState.REMOVE}
    cluster.settle()
    tables = cluster.tables
    assert not (tables.tasks or tables.task_status or tables.service_status or tables.revisions)


def test_a_status_without_its_task_is_deleted() -> None:
    cluster = world(1)
    cluster.service("web", spec(1))
    cluster.settle()
    [task] = cluster.tasks("web")
    status = cluster.tables.task_status[task.id]
    cluster.put(kinds.SERVICE, "web", None)
    cluster.settle()
    cluster.put(kinds.TASK_STATUS, task.id, status)
    cluster.settle()
    assert not cluster.tables.task_status


def test_tasks_spread_over_labels_before_nodes() -> None:
    cluster = World()
    for name, zone in (("h1", "a"), ("h2", "a"), ("h3", "a"), ("h4", "b")):
        cluster.node(name, labels={"zone": zone})
    requested = spec(6)
    requested.task.placement.CopyFrom(Placement(spread=["node.labels.zone"]))
    cluster.service("web", requested)
    cluster.settle()
    assert cluster.by_node("web") == {"h1": 1, "h2": 1, "h3": 1, "h4": 3}


def test_a_node_that_keeps_failing_the_service_comes_last() -> None:
    cluster = world(2)
    cluster.service("web", spec(1))
    homes = []
    for _ in range(4):
        cluster.plan()
        [task] = cluster.desired("web")
        homes.append(task.node_id)
        cluster.report(task, TaskState.FAILED)
        cluster.plan()
        cluster.now_ms = cluster.planner.next_due_ms() or 0
    assert homes == ["h1", "h1", "h1", "h2"]


def test_a_restart_stays_on_its_node_until_that_has_failed_it_three_times() -> None:
    cluster = world(3)
    cluster.service("web", spec(1))
    homes = []
    for _ in range(7):
        cluster.plan()
        [task] = cluster.desired("web")
        homes.append(task.node_id)
        cluster.report(task, TaskState.FAILED)
        cluster.plan()
        cluster.now_ms = cluster.planner.next_due_ms() or 0
        cluster.node("h0")  # emptier nodes do not draw it away
    assert homes[:3] == ["h1"] * 3
    assert len(set(homes[3:6])) == 1
    assert "h1" not in homes[3:6]
    assert homes[6] not in homes[3:6]


def test_an_unreadable_constraint_is_told_and_not_crashed_on() -> None:
    cluster = world(1)
    requested = spec(1)
    requested.task.placement.constraints.append("node.colour == red")
    cluster.service("web", requested)
    cluster.plan()
    assert "unknown key 'node.colour'" in cluster.tasks("web")[0].reason


def test_the_plan_of_everything_says_when_to_look_again() -> None:
    cluster = world(1)
    cluster.service("web", spec(1))
    cluster.plan()
    cluster.report(cluster.desired("web")[0], TaskState.FAILED)
    found = plan(cluster.tables, now_ms=cluster.now_ms, new_id=lambda: "x")
    assert (found.writes, found.next_due_ms) == ((), cluster.now_ms + 5_000)


def test_a_rollback_that_cannot_go_on_ends_and_tells_what_is_left() -> None:
    cluster = world(2)
    old = spec(3)
    old.task.placement.max_per_node = 1
    cluster.service("web", old)
    cluster.settle()
    cluster.now_ms += 100
    new = spec(3, image="hello:2")
    new.rollback.failure_action = UpdateConfig.CONTINUE
    cluster.service("web", new)
    cluster.plan()
    cluster.obey()
    cluster.plan()
    [heir] = [task for task in cluster.desired("web") if task.slot == 1]
    cluster.report(heir, TaskState.FAILED, message="exit 1")
    cluster.settle()
    update = cluster.tables.service_status["web"].update
    assert update.state == UpdateStatus.ROLLED_BACK
    assert update.message == "1 of 3 tasks failed: exit 1; rollback: no progress for 600 s, 2 tasks remaining"
    # The failed update's task serves where the first slot's would go, and nothing that serves is given up for it.
    assert [(task.slot, task.revision) for task in cluster.running("web")] == [(2, 1), (3, 2)]
    cluster.node("h3")
    cluster.settle()
    assert [(task.slot, task.revision) for task in cluster.running("web")] == [(1, 1), (2, 1), (3, 1)]
