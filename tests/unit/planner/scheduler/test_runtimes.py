"""OCI runtimes that services request by name: refused where no node has one, else tasks go where agents report it."""

from manager.store import kinds
from manager.validation.runtime_rules import check_runtime
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import Replicated, ServiceSpec, TaskTemplate
from shoal.oci_runtimes import runtimes_of
from tests.fakes.planner_world import World


def spec(replicas: int, runtime: str) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate())
    made.task.container.image = "hello:1"
    made.task.container.runtime = runtime
    return made


def cluster(**runtimes: tuple[str, ...]) -> World:
    """Nodes with the runtimes that they report."""
    world = World()
    for name, names in runtimes.items():
        world.node(name)
        status = NodeStatus()
        status.CopyFrom(world.tables.node_status[name])
        status.description.runtimes.extend(names)
        world.put(kinds.NODE_STATUS, name, status)
    return world


def test_tasks_go_to_nodes_that_have_the_runtime() -> None:
    world = cluster(h1=("crun",), h2=("crun", "runc"), h3=("crun",))
    world.service("web", spec(2, "runc"))
    world.service("plain", spec(3, ""))
    world.settle()
    assert world.by_node("web") == {"h2": 2}
    assert world.by_node("plain").keys() == {"h1", "h2", "h3"}


def test_where_no_node_has_it_any_more_they_wait_and_say_so() -> None:
    world = cluster(h1=("crun",), h2=("crun",))
    world.service("web", spec(1, "runc"))
    world.settle()
    (task,) = world.desired("web")
    assert task.reason == "no suitable node: 2 of 2 lack runtime runc"


def test_one_that_no_node_has_is_refused_with_the_names_of_those_that_are_there() -> None:
    view = cluster(h1=("crun",), h2=("crun", "runc")).tables
    assert [*check_runtime("runtime", "", view)] == [*check_runtime("runtime", "runc", view)] == []
    (fault,) = check_runtime("runtime", "io.containerd.wasmedge.v1", view)
    assert fault.message == 'runtime "io.containerd.wasmedge.v1" not found on any node; available: crun, runc'


def test_an_agent_that_does_not_report_them_has_the_one_that_it_uses() -> None:
    assert [*runtimes_of(NodeDescription(runtime="crun 1.8.1"))] == ["crun"]
    assert [*runtimes_of(NodeDescription())] == []
