"""Sums of `shoal system df`, and what `shoal system prune` spares."""

from typing import Any

from cli.commands.container.container_removal import prune_filters
from cli.commands.system.disk_usage import usage_of_builds, usage_of_containers, usage_of_images, usage_of_volumes
from cli.commands.system.system_df import rows_of_builds, rows_of_images, rows_of_volumes
from cli.commands.system.system_info import of_containers, of_hosts
from cli.commands.system.system_prune import Pruning
from shoal.api.v1.builds_pb2 import BuildCacheRow
from shoal.api.v1.control_pb2 import ManagerView, NodeView, VolumeView
from shoal.api.v1.engine_pb2 import ContainerView, ImageView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState

NOW_NS = 1_700_000_000 * 10**9


def image(name: str, layers: dict[str, int], **users: Any) -> ImageView:
    view = ImageView(names=[f"docker.io/library/{name}:1"], **users)
    view.image.digest = f"sha256:{name}"
    view.image.variants.add(
        config_digest=f"sha256:config-{name}",
        layers=layers.keys(),
        layer_bytes=layers.values(),
        stored_bytes=sum(layers.values()) + 1000,
    )
    return view


def test_a_layer_of_several_images_counts_once() -> None:
    images = [image("a", {"base": 5000, "a": 100}, service_ids=["s"]), image("b", {"base": 5000, "b": 300})]
    usage = usage_of_images(images)
    assert (usage.total, usage.active, usage.size, usage.reclaimable) == (2, 1, 7400, 1300)
    assert usage.row()["reclaimable"] == "1.3kB (17%)"
    rows = rows_of_images(images, NOW_NS / 1e9)
    assert [(row["repository"], row["size"], row["shared_size"], row["unique_size"]) for row in rows] == [
        ("a", "6.1kB", "5kB", "1.1kB"),
        ("b", "6.3kB", "5kB", "1.3kB"),
    ]


def container(state: int, size: int | None) -> ContainerView:
    view = ContainerView(writable_bytes=size)
    view.task.desired_state = TaskState.RUNNING
    view.task_status.state = TaskState.ValueType(state)
    return view


def test_containers_that_do_not_run_can_be_removed() -> None:
    found = [
        container(TaskState.RUNNING, 100),
        container(TaskState.COMPLETE, 40),
        container(TaskState.FAILED, None),
    ]
    usage = usage_of_containers(found)
    assert (usage.total, usage.active, usage.size, usage.reclaimable) == (3, 1, 140, 40)
    assert of_containers(found) == {
        "containers": 3,
        "containers_running": 1,
        "containers_paused": 0,
        "containers_stopped": 2,
    }


def test_volumes_on_all_of_their_nodes() -> None:
    used, unknown = VolumeView(services=["db"]), VolumeView()
    used.volume.spec.name, unknown.volume.spec.name = "data", "old"
    used.locations.add(used_bytes=700)
    used.locations.add(used_bytes=50)
    unknown.locations.add()
    usage = usage_of_volumes([used, unknown])
    assert (usage.total, usage.active, usage.size, usage.reclaimable) == (2, 1, 750, 0)
    assert [(row["volume_name"], row["size"]) for row in rows_of_volumes([used, unknown])] == [
        ("data", "750B"),
        ("old", "N/A"),
    ]


def pruning(*texts: str, everything: bool = False, volumes: bool = False) -> Pruning:
    return Pruning(everything, volumes, prune_filters(texts, NOW_NS), texts)


def test_filters_spare_what_does_not_fit() -> None:
    now_ms = NOW_NS // 10**6
    assert not pruning().keeps({}, now_ms)
    assert pruning("until=1h").keeps({}, now_ms) and not pruning("until=1h").keeps({}, now_ms - 3_700_000)
    assert pruning("label=a").keeps({"b": ""}, 0) and not pruning("label=a").keeps({"a": "1"}, 0)
    assert pruning("label!=a").keeps({"a": "1"}, 0) and not pruning("label!=a").keeps({}, 0)
    assert [(each.key, each.value) for each in pruning("until=1h", "label!=a").image_filters()] == [
        ("until", "1h"),
        ("label!", "a"),
    ]


def test_what_goes_is_said_before() -> None:
    text = pruning("label=a", everything=True, volumes=True).warning()
    for part in ("all stopped containers", "all networks", "anonymous volumes", "all images without", "label=a"):
        assert part in text
    assert "volumes" not in pruning().warning() and "all dangling images" in pruning().warning()


def test_hosts() -> None:
    ready, down = NodeView(warnings=["MTU 1400"]), NodeView()
    ready.status.state, down.status.state = NodeStatus.READY, NodeStatus.DOWN
    for each in (ready, down):
        each.status.description.hostname = "h1"
        each.status.description.resources.nano_cpus = 2 * 10**9
    about = of_hosts([ready, down], [ManagerView(alive=True), ManagerView()])
    assert (about["nodes"], about["nodes_ready"], about["managers_ready"], about["nano_cpus"]) == (2, 1, 1, 2 * 10**9)
    assert about["warnings"] == ["h1: MTU 1400"]


def test_what_builds_have_left_is_counted() -> None:
    rows = [
        BuildCacheRow(id="sha256:" + "a" * 64, node_id="n1", type="regular", bytes=3000),
        BuildCacheRow(id="b", node_id="n1", type="exec.cachemount", bytes=1000, in_use=True),
    ]
    usage = usage_of_builds(rows)
    assert (usage.kind, usage.total, usage.active, usage.size, usage.reclaimable) == ("Build Cache", 2, 1, 4000, 3000)
    assert [(row["cache_id"], row["size"]) for row in rows_of_builds(rows)] == [("a" * 12, "3kB"), ("b", "1kB")]
