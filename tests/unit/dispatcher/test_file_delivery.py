"""Contents go to the nodes whose own tasks need them, opened on the way; volumes go where they are held."""

from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.dispatcher.assignments.file_delivery import MESSAGE_BYTES, FileDelivery
from manager.file_contents.content_codec import EncryptedCodec
from manager.store.kinds import (
    CONFIG_VERSION,
    NODE_VOLUMES,
    REVISION,
    SECRET,
    SECRET_VERSION,
    TASK,
    VOLUME,
    VOLUME_STATUS,
)
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import File, FileReference, FileVersion
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.api.v1.volume_pb2 import (
    LocalVolume,
    NodeVolumes,
    Volume,
    VolumePublication,
    VolumeSecret,
    VolumeSpec,
    VolumeStatus,
)
from shoal.identity.keyring import Keyring
from tests.unit.dispatcher.dispatcher_world import World

PLAIN = b"a very secret word"
SEALED = EncryptedCodec(Keyring(bytes(32)))


def world_with_a_secret(content: bytes = PLAIN) -> World:
    """Service `s` on node `n1` uses secret `x` and config `c`; service `t` on node `n2` uses nothing."""
    world = World()
    file = File(encrypted_data_key=SEALED.new_data_key("x"), version="1")
    file.meta.id = "x"
    world.put(SECRET, "x", file)
    version = FileVersion(file_id="x", version="1", content=SEALED.encode(file, "1", content))
    world.put(SECRET_VERSION, "x/1", version)
    world.put(CONFIG_VERSION, "c/1", FileVersion(file_id="c", version="1", content=b"plain"))
    container = ContainerSpec(
        secrets=[FileReference(source="x", version="1")], configs=[FileReference(source="c", version="1")]
    )
    spec = ServiceSpec(name="s", task=TaskTemplate(container=container))
    world.put(REVISION, "s/1", ServiceRevision(service_id="s", number=1, spec=spec))
    world.revision("t", 1)
    world.node("n1")
    world.node("n2")
    world.task("task1", "n1", service_id="s")
    world.task("task2", "n2", service_id="t")
    return world


def test_only_the_node_of_the_task_gets_it() -> None:
    world = world_with_a_secret()
    index = AssignmentIndex(world.tables)
    assert set(index.assignments("n1").files) == {"secret/x/1", "config/c/1"}
    assert not index.assignments("n2").files
    files = FileDelivery(view=world.tables, secrets=SEALED)
    (message,) = files.messages(index.assignments("n1").files, 7)
    assert {each.key: each.content for each in message.files} == {"secret/x/1": PLAIN, "config/c/1": b"plain"}
    assert not message.snapshot and message.store_revision == 7


def test_it_goes_when_the_task_ends_and_comes_again_with_another() -> None:
    world = world_with_a_secret()
    index = AssignmentIndex(world.tables)
    assert set(index.changes("n1", None).files) == {"secret/x/1", "config/c/1"}
    marks = index.update(world.task("task2", "n1", service_id="s"))
    assert not index.changes("n1", marks["n1"]).files, "it has them already"
    marks = index.update([*world.status("task1", TaskState.FAILED), *world.status("task2", TaskState.FAILED)])
    assert not index.changes("n1", marks["n1"]).files and not index.assignments("n1").files
    marks = index.update(world.task("task3", "n1", service_id="s"))
    assert set(index.changes("n1", marks["n1"]).files) == {"secret/x/1", "config/c/1"}


def test_a_new_revision_brings_only_what_no_other_one_has_brought() -> None:
    world = world_with_a_secret()
    index = AssignmentIndex(world.tables)
    newer = ServiceRevision()
    newer.CopyFrom(world.tables.revisions["s/1"])
    newer.number = 2
    newer.spec.task.container.configs.append(FileReference(source="d", version="1"))
    version = FileVersion(file_id="d", version="1", content=b"more")
    later = Task(id="task4", service_id="s", revision=2, node_id="n1", state=TaskState.ASSIGNED)
    marks = index.update(
        [world.put(CONFIG_VERSION, "d/1", version), world.put(REVISION, "s/2", newer), world.put(TASK, "task4", later)]
    )
    notifier = index.changes("n1", marks["n1"])
    assert set(notifier.files) == {"config/d/1"} and [each.number for each in notifier.assignments.revisions] == [2]


def test_assignments_themselves_have_no_contents() -> None:
    world = world_with_a_secret()
    message = AssignmentIndex(world.tables).changes("n1", None).assignments
    assert PLAIN not in message.SerializeToString() and not message.files


def test_large_contents_go_in_several_messages() -> None:
    world = world_with_a_secret(b"x" * (MESSAGE_BYTES - 2))
    files = FileDelivery(view=world.tables, secrets=SEALED)
    needs = AssignmentIndex(world.tables).assignments("n1")
    assert [len(message.files) for message in files.messages(needs.files, 1)] == [1, 1]


def test_a_secret_that_does_not_open_is_left_out() -> None:
    world = world_with_a_secret()
    files = FileDelivery(view=world.tables, secrets=EncryptedCodec(Keyring(bytes(31) + b"1")))
    (message,) = files.messages(AssignmentIndex(world.tables).assignments("n1").files, 1)
    assert [each.key for each in message.files] == ["config/c/1"]


def test_a_node_is_told_to_delete_what_is_marked_and_held_there() -> None:
    world = World()
    world.node("n1")
    world.node("n2")
    index = AssignmentIndex(world.tables)
    held = NodeVolumes(node_id="n1", volumes=[LocalVolume(volume_id="v", name="data"), LocalVolume(volume_id="lost")])
    assert not index.update([world.put(NODE_VOLUMES, "n1", held)])
    volume = Volume(spec=VolumeSpec(name="data"))
    marks = index.update([world.put(VOLUME, "v", volume)])
    assert not index.changes("n1", marks["n1"]).assignments.volumes_to_delete
    marks = index.update([world.put(VOLUME, "v", Volume(spec=volume.spec, removing=True))])
    assert set(marks) == {"n1"}
    reported = index.changes("n1", marks["n1"]).assignments.volumes_to_delete
    assert list(reported) == ["v"], "data without a record is left alone"
    assert index.changes("n1", None).assignments.volumes_to_delete == ["v"]
    assert index.update([world.put(NODE_VOLUMES, "n1", held)]) == {"n1": {("volume", "v")}}


def world_with_a_volume() -> World:
    """Volume `v`, whose driver is given secret `x`, is usable on n1 and waits on n2; no task of n1 or n2 names `x`."""
    world = world_with_a_secret()
    for task in ("task1", "task2"):
        world.status(task, TaskState.FAILED)
    secret = VolumeSecret(key="password", source="x", name="pw")
    spec = VolumeSpec(name="data", driver="d", secrets=[secret])
    world.put(VOLUME, "v", Volume(meta=Meta(id="v"), spec=spec))
    ready = VolumePublication(node_id="n1", number=1, state=VolumePublication.READY)
    waiting = VolumePublication(node_id="n2", number=2, state=VolumePublication.WAITING)
    world.put(VOLUME_STATUS, "v", VolumeStatus(volume_id="v", driver_volume_id="real", publications=[ready, waiting]))
    return world


def test_a_volumes_secret_goes_where_the_volume_may_be_used_and_nowhere_else() -> None:
    world = world_with_a_volume()
    index = AssignmentIndex(world.tables)
    assert set(index.changes("n1", None).files) == set(index.assignments("n1").files) == {"secret/x/1"}
    (reported,) = index.assignments("n1").attachments.values()
    assert [(each.key, each.content_key, each.name) for each in reported.secrets] == [("password", "secret/x/1", "pw")]
    assert PLAIN not in reported.SerializeToString()
    assert not index.assignments("n2").files
    assert not [each for one in index.assignments("n2").attachments.values() for each in one.secrets]
    away = VolumePublication(node_id="n1", number=1, state=VolumePublication.RELEASING)
    here = VolumePublication(node_id="n2", number=2, state=VolumePublication.READY)
    status = VolumeStatus(volume_id="v", driver_volume_id="real", publications=[away, here])
    marks = index.update([world.put(VOLUME_STATUS, "v", status)])
    assert not index.changes("n1", marks["n1"]).files and set(index.changes("n2", marks["n2"]).files) == {"secret/x/1"}


def test_a_new_version_of_a_volumes_secret_is_told_to_its_nodes() -> None:
    world = world_with_a_volume()
    index = AssignmentIndex(world.tables)
    file = File()
    file.CopyFrom(world.tables.secrets["x"])
    file.spec.labels["a"] = "b"
    assert not index.update([world.put(SECRET, "x", file)]), "labels are nothing to drivers"
    newer = File()
    newer.CopyFrom(file)
    newer.version = "2"
    version = FileVersion(file_id="x", version="2", content=SEALED.encode(newer, "2", b"other"))
    marks = index.update([world.put(SECRET_VERSION, "x/2", version), world.put(SECRET, "x", newer)])
    reported = index.changes("n1", marks["n1"])
    assert (
        set(reported.files) == {"secret/x/2"}
        and reported.assignments.attachments[0].secrets[0].content_key == "secret/x/2"
    )
    assert not index.changes("n2", marks["n2"]).files
