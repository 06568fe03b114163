"""Tasks go where the drivers of their volumes are, and stay together where a volume can be on one node."""

from manager.store import kinds
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import CsiDriver, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Replicated, ServiceSpec, TaskTemplate, UpdateConfig
from shoal.api.v1.volume_pb2 import Segments, Volume, VolumePublication, VolumeSpec, VolumeStatus
from tests.fakes.planner_world import World


def world(*with_driver: str, nodes: int = 3) -> World:
    made = World()
    for number in range(1, nodes + 1):
        made.node(f"h{number}")
    for name in with_driver:
        give_driver(made, name)
    return made


def give_driver(cluster: World, name: str, **more: object) -> None:
    status = NodeStatus()
    status.CopyFrom(cluster.tables.node_status[name])
    del status.description.csi_drivers[:]
    status.description.csi_drivers.append(CsiDriver(name="d", node_id=f"d-{name}", **more))  # type: ignore[arg-type]
    cluster.put(kinds.NODE_STATUS, name, status)


def make_volume(cluster: World, volume_id: str = "v", **more: object) -> None:
    volume = Volume(meta=Meta(id=volume_id), spec=VolumeSpec(name=f"data-{volume_id}", driver="d"))
    cluster.put(kinds.VOLUME, volume_id, volume)
    status = VolumeStatus(volume_id=volume_id, driver_volume_id="real", **more)  # type: ignore[arg-type]
    cluster.put(kinds.VOLUME_STATUS, volume_id, status)


def database(replicas: int = 1, *, volume_id: str = "v", single: bool = True, image: str = "db:1") -> ServiceSpec:
    spec = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate())
    spec.task.container.image = image
    use = VolumeOptions(name=f"data-{volume_id}", driver="d", single_node=single)
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source=volume_id, target="/data", volume=use))
    spec.task.restart.delay_ms = 0
    return spec


def reasons(cluster: World, service: str) -> set[str]:
    return {task.reason for task in cluster.desired(service) if not task.node_id}


def test_only_nodes_with_the_driver_get_it_and_the_reason_tells() -> None:
    cluster = world("h2")
    make_volume(cluster)
    cluster.service("db", database(3))
    cluster.settle()
    assert cluster.by_node("db") == {"h2": 3}
    give_driver(cluster, "h2", problem="driver d is away: no answer")
    cluster.service("two", database(single=False))
    cluster.plan()
    (reported,) = reasons(cluster, "two")
    assert (
        "2 of 3 lack volume driver d" in reported and "1 of 3 has a volume driver error: driver d is away" in reported
    )
    give_driver(cluster, "h2")
    cluster.settle()
    assert cluster.by_node("two") == {"h2": 1}, "a driver that is back is noticed"


def test_it_waits_until_the_volume_is_made() -> None:
    cluster = world("h1")
    make_volume(cluster)
    cluster.put(kinds.VOLUME_STATUS, "v", None)
    cluster.service("db", database())
    cluster.plan()
    assert reasons(cluster, "db") == {"volume data-v is not created yet: driver d is creating it"}
    problem = "driver d: CreateVolume: no such tier (INVALID_ARGUMENT)"
    cluster.put(kinds.VOLUME_STATUS, "v", VolumeStatus(volume_id="v", problem=problem))
    cluster.plan()
    assert reasons(cluster, "db") == {f"volume data-v is not created yet: {problem}"}
    make_volume(cluster)
    cluster.settle()
    assert cluster.by_node("db") == {"h1": 1}


def test_one_node_at_a_time_for_all_services() -> None:
    cluster = world("h1", "h2", "h3")
    make_volume(cluster)
    cluster.service("db", database(4))
    cluster.settle()
    (home,) = cluster.by_node("db")
    cluster.service("other", database(2))
    cluster.settle()
    assert cluster.by_node("other") == {home: 2}
    cluster.service("many", database(3, volume_id="w", single=False))
    make_volume(cluster, "w")
    cluster.settle()
    assert len(cluster.by_node("many")) == 3
    elsewhere = database()
    elsewhere.task.placement.constraints.append(f"node.id != {home}")
    cluster.service("far", elsewhere)
    cluster.plan()
    (reported,) = reasons(cluster, "far")
    assert f"cannot mount volume data-v: in use on node {home}" in reported


def test_a_drain_moves_all_of_it_at_once_and_an_update_stops_first() -> None:
    cluster = world("h1", "h2")
    make_volume(cluster)
    cluster.service("db", database(3))
    cluster.settle()
    (home,) = cluster.by_node("db")
    cluster.set_availability(home, NodeSpec.DRAIN)
    cluster.settle()
    (other,) = cluster.by_node("db")
    assert other != home and cluster.by_node("db") == {other: 3}
    spec = database(1, image="db:2")
    spec.update.order = UpdateConfig.START_FIRST
    cluster.service("db", spec)
    seen = 0
    for _ in range(12):
        cluster.plan()
        seen = max(seen, len([task for task in cluster.live("db") if task.slot == 1]))
        cluster.obey()
        cluster.now_ms += 1000
    assert seen == 1, "never two in a slot, whatever the order is"


def test_nodes_out_of_reach_and_full_nodes_are_passed_over() -> None:
    cluster = world()
    for name, zone in (("h1", "a"), ("h2", "b"), ("h3", "b")):
        give_driver(cluster, name, topology={"zone": zone}, has_topology=True, max_volumes=1)
    make_volume(cluster, topologies=[Segments(segments={"zone": "b"})])
    taken = VolumePublication(node_id="h2", number=1, state=VolumePublication.READY)
    make_volume(cluster, "w", publications=[taken])
    cluster.service("db", database())
    cluster.settle()
    assert cluster.by_node("db") == {"h3": 1}
    cluster.service("more", database(volume_id="w"))
    make_volume(cluster, "x", topologies=[Segments(segments={"zone": "b"})])
    cluster.settle()
    cluster.put(
        kinds.VOLUME_STATUS,
        "v",
        VolumeStatus(
            volume_id="v",
            driver_volume_id="real",
            publications=[VolumePublication(node_id="h3", number=1, state=VolumePublication.READY)],
        ),
    )
    cluster.service("last", database(volume_id="x"))
    cluster.plan()
    (reported,) = reasons(cluster, "last")
    assert (
        "1 of 3 cannot access volume data-x" in reported
        and "have reached the limit of 1 volume of driver d" in reported
    )
