"""Each stage of the planner in virtual time: slots, restarts, updates, drains, addresses, ports, removal."""

from manager.planner.plan import plan
from manager.store import kinds
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    Endpoint,
    NetworkAttachment,
    Placement,
    PublishedPort,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import World
from tests.unit.planner.stage_world import MIB, spec, world


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
