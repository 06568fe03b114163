"""The form that a batch's tasks are copied from: nothing of one task gets into another."""

from manager.planner.scheduler import record_template
from manager.planner.scheduler.record_template import RecordTemplate
from shoal.api.v1.meta_pb2 import GenericResource, Resources
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort, ServiceSpec
from shoal.api.v1.task_pb2 import Task
from tests.fakes.planner_world import World


def test_a_copy_keeps_what_was_filled_in() -> None:
    same = Task(service_id="web", revision=3)
    same.addresses.add(network_id="front")
    pages = RecordTemplate(same)
    copies = []
    for number in range(2 * record_template.ARENA_SIZE + 5):
        pages.task.id = f"t{number}"
        pages.addresses[0].address = f"10.0.{number >> 8}.{number & 255}"
        copies.append(pages.copy())
    for number, copy in enumerate(copies):
        assert (copy.id, copy.service_id, copy.revision) == (f"t{number}", "web", 3)
        (place,) = copy.addresses
        assert (place.network_id, place.address) == ("front", f"10.0.{number >> 8}.{number & 255}")


def test_tasks_of_a_batch_have_ports_addresses_and_resources_of_their_own() -> None:
    cluster = World()
    for name in ("n0", "n1"):
        cluster.node(name, memory=1 << 40, generic=[GenericResource(kind="gpu", names=["a", "b", "c"])])
    cluster.network("front")
    spec = ServiceSpec()
    spec.replicated.replicas = 6
    spec.task.networks.append(NetworkAttachment(network="front"))
    spec.task.reservations.CopyFrom(Resources(generic_resources=[GenericResource(kind="gpu", count=1)]))
    spec.endpoint.ports.extend(PublishedPort(target=target, mode=PublishedPort.HOST) for target in (80, 443))
    cluster.service("web", spec)
    cluster.plan()
    tasks = cluster.tasks("web")
    assert sorted(task.slot for task in tasks) == [1, 2, 3, 4, 5, 6]
    assert len({task.addresses[0].address for task in tasks}) == 6
    assert all([port.target for port in task.ports] == [80, 443] for task in tasks)
    assert len({(task.node_id, port.published) for task in tasks for port in task.ports}) == 12
    held = [(task.node_id, name) for task in tasks for each in task.generic_resources for name in each.names]
    assert sorted(held) == [(node, name) for node in ("n0", "n1") for name in "abc"]


def test_a_waiting_task_keeps_its_age_and_new_ones_have_theirs() -> None:
    cluster = World()
    spec = ServiceSpec()
    spec.replicated.replicas = 1
    cluster.service("web", spec)
    cluster.plan()
    (waiting,) = cluster.tasks("web")
    assert not waiting.node_id
    cluster.now_ms += 5_000
    cluster.node("n0", memory=1 << 40)
    spec.replicated.replicas = 2
    cluster.service("web", spec)
    cluster.plan()
    ages = {task.slot: task.created_at_ms for task in cluster.tasks("web")}
    assert ages == {1: waiting.created_at_ms, 2: cluster.now_ms}
