"""Events of containers: Docker's names, in Docker's order."""

from collections.abc import Iterable

import pytest

from engine.translate.events import event_document
from engine.translate.object_ids import builtin_network_id
from manager.events import container_places
from manager.events.event_builder import events_of, observe
from manager.store import kinds
from manager.store.changes import Change, Write
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.api.v1.standalone_pb2 import Container, ContainerStop
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.api.v1.volume_pb2 import Volume, VolumeSpec
from shoal.container_ids import container_id
from tests.fakes.container_world import ContainerWorld, definition


class Watched(ContainerWorld):
    """A world that remembers the events of all changes."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def apply(self, writes: Iterable[Write]) -> None:
        """Commit, and derive the events."""
        for write in writes:
            old = self.tables.rows(write.kind).get(write.identifier)
            super().apply([write])
            change = Change(write.kind, write.identifier, old, write.value)
            if (old is not None or write.value is not None) and (seen := observe(change, self.tables, 5)) is not None:
                self.events += events_of(seen, self.tables)

    def reported(self) -> list[str]:
        """What was reported since the last time, nodes left out."""
        found = [f"{each.type} {each.action}" for each in self.events if each.type not in ("node",)]
        self.events.clear()
        return found


def test_the_life_of_a_container() -> None:
    world = Watched()
    world.node("h1")
    db = world.create("db", definition(labels={"tier": "data"}))
    world.settle()
    assert world.reported() == ["container create"]
    world.start(db)
    world.settle()
    (started,) = [each for each in world.events if each.action == "start"]
    assert dict(started.attributes) == {"tier": "data", "name": "db", "image": "a:1"}
    assert started.node == "h1"
    world.events.clear()
    world.now_ms += 2_500
    world.stop(db, ContainerStop())
    world.settle()
    (died,) = [each for each in world.events if each.action == "die"]
    assert (died.attributes["exitCode"], died.attributes["execDuration"]) == ("0", "2")
    assert world.reported() == ["network disconnect", "container die", "container stop"]
    world.remove(db)
    world.collect()
    world.settle()
    assert world.reported() == ["container destroy"]


def test_what_is_done_to_one_that_runs() -> None:
    world = Watched()
    world.node("h1")
    world.network("front")
    world.settle()
    db = world.create("db")
    world.start(db)
    world.settle()
    world.reported()

    def change(**fields: object) -> list[str]:
        def apply(container: Container) -> Container:
            changed = Container()
            changed.CopyFrom(container)
            changed.MergeFrom(Container(**fields))  # type: ignore[arg-type]  # the test's
            changed.revision += 1
            return changed

        world.change(db, apply)
        return world.reported()

    assert change(name="pg") == ["container rename"]
    assert change(definition=definition(links=["x:y"])) == ["container update"]
    joined = definition()
    joined.task.networks.append(NetworkAttachment(network="front"))
    assert change(definition=joined) == ["network connect"]
    assert change(held=True) == ["container kill"]
    task = world.newest(db)
    assert task is not None
    status = TaskStatus()
    status.CopyFrom(world.tables.task_status[task.id])
    for fields, action in (
        ({"paused": True}, "pause"),
        ({"paused": False}, "unpause"),
        ({"health": TaskStatus.HEALTHY}, "health_status: healthy"),
        ({"warning": "slow"}, ""),
        ({"state": TaskState.FAILED, "oom_killed": True, "exit_code": 137}, "oom"),
    ):
        changed = TaskStatus()
        changed.CopyFrom(status)
        changed.paused = False
        changed.MergeFrom(TaskStatus(**fields))
        world.put(kinds.TASK_STATUS, task.id, changed)
        status = changed
        expected = [f"container {action}"] if action else []
        left = ["network disconnect", "container die"]
        assert world.reported() == [*expected, *(left if action == "oom" else [])]


@pytest.mark.parametrize("seen", [TaskState.RUNNING, TaskState.STARTING], ids=["running", "ended"])
def test_a_program_that_ended_at_once_has_started_too(seen: TaskState.ValueType) -> None:
    world = Watched()
    world.node("h1")
    db = world.create("db")
    world.settle()
    world.reported()
    task = world.newest(db)
    assert task is not None
    short = TaskStatus(task_id=task.id, state=TaskState.FAILED, exit_code=2)
    for number, state in enumerate((TaskState.ACCEPTED, seen, TaskState.FAILED)):
        short.state_history.add(state=state, at_ms=number)
    world.put(kinds.TASK_STATUS, task.id, short)
    assert world.reported() == ["network connect", "container start", "network disconnect", "container die"]


def test_volumes_and_networks_in_dockers_order() -> None:
    world = Watched()
    world.node("h1")
    world.network("front")
    volume = Volume(spec=VolumeSpec(name="data"))
    volume.meta.id = "v1"
    world.put(kinds.VOLUME, "v1", volume)
    world.settle()
    made = definition()
    made.task.networks.extend([NetworkAttachment(network="front"), NetworkAttachment(network="bridge")])
    made.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", target="/data", read_only=True))
    made.task.container.mounts.append(Mount(type=Mount.TMPFS, target="/tmp"))
    db = world.create("db", made)
    world.settle()
    world.events.clear()
    world.start(db)
    world.settle()
    mounted, connected, also, started = world.events
    assert [each.action for each in (mounted, connected, also, started)] == ["mount", "connect", "connect", "start"]
    assert (mounted.type, mounted.name, dict(mounted.attributes)) == (
        "volume",
        "data",
        {"container": db, "driver": "local", "destination": "/data", "propagation": "", "read/write": "false"},
    )
    assert (connected.id, dict(connected.attributes)) == ("front", {"container": db, "name": "front"})
    document = event_document(also)
    assert document is not None
    assert document["Actor"] == {
        "ID": builtin_network_id("bridge"),
        "Attributes": {"container": container_id(db), "name": "bridge", "type": "bridge"},
    }
    world.events.clear()
    world.stop(db, ContainerStop())
    world.settle()
    assert world.reported() == [
        "network disconnect",
        "network disconnect",
        "volume unmount",
        "container die",
        "container stop",
    ]


def test_networks_of_every_node_and_of_other_containers() -> None:
    world = Watched()
    for name, mode, expected in (("a", "none", "null"), ("b", "host", "host"), ("c", "container:x", "")):
        made = definition()
        made.task.networks.append(NetworkAttachment(network=mode))
        container = Container(name=name, definition=made)
        found = [each.attributes["type"] for each in container_places.of_start(container, world.tables, 1)]
        assert found == ([expected] if expected else [])


def test_a_program_that_could_not_be_started_only_dies() -> None:
    world = Watched()
    world.node("h1")
    db = world.create("db")
    world.settle()
    world.reported()
    task = world.newest(db)
    assert task is not None
    world.put(kinds.TASK_STATUS, task.id, TaskStatus(task_id=task.id, state=TaskState.REJECTED, exit_code=127))
    assert world.reported() == ["container die"]
