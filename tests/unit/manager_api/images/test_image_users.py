"""What containers use stays, in Docker's words; events of images; what a removal frees."""

import pytest

from manager.events.event_log import EventLog
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import WatchEventsRequest
from shoal.api.v1.engine_pb2 import RemoveImageRequest, SetImageRequest
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.container_ids import short_container_id
from shoal.errors import InvalidInput, Refused
from shoal.filters.event_filters import EVENTS
from shoal.ids import new_id
from tests.unit.manager_api.control_rig import ADMIN, Api, with_api
from tests.unit.manager_api.events.test_event_log import NOW_MS, remembering
from tests.unit.manager_api.images.image_handler_rig import Rig, image_of


async def add_container(api: Api, image: str, *, runs: bool = False) -> str:
    """A container of an image; its ID."""
    container = Container(meta=Meta(id=new_id()), name=f"c{new_id()}")
    container.definition.task.container.image = image
    identifier = container.meta.id
    writes = [put(kinds.CONTAINER, identifier, container)]
    if runs:
        task = Task(id=new_id(), service_id=identifier, container_id=identifier, node_id="h1")
        task.desired_state, task.revision = TaskState.RUNNING, 1
        revision = ServiceRevision(service_id=identifier, number=1)
        revision.spec.task.container.image = image
        status = TaskStatus(task_id=task.id, state=TaskState.RUNNING)
        writes.append(put(kinds.REVISION, f"{identifier}/1", revision))
        writes += [put(kinds.TASK, task.id, task), put(kinds.TASK_STATUS, task.id, status)]
    await api.store.commit(writes)
    return identifier


def test_the_image_of_a_stopped_container_takes_force_and_loses_its_name_alone() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("web:1", "a")
        await rig.set("web:2", "a")
        container = await add_container(api, f"docker.io/library/web:1@{image.digest}")
        config = image.variants[0].config_digest
        assert list((await rig.get("web:1")).container_ids) == [container]
        assert await rig.remove("web:2") == (["web:2"], []), "another name is left"
        short, short_image = short_container_id(container), config[7:19]
        with pytest.raises(Refused) as refused:
            await rig.remove("web:1")
        assert str(refused.value) == (
            'conflict: unable to remove repository reference "web:1" (must force) - '
            f"container {short} is using its referenced image {short_image}"
        )
        with pytest.raises(Refused) as refused:
            await rig.remove(config)
        assert str(refused.value) == (
            f"conflict: unable to delete {short_image} (must be forced) - "
            f"image is being used by stopped container {short}"
        )
        assert await rig.prune(everything=True) == []
        assert await rig.remove("web:1", force=True) == (["web:1"], [])
        assert rig.contents.forgotten == [] and await rig.names() == [[]]
        assert (await rig.get(config)).image.digest == image.digest, "it is there, without a name"
        assert await rig.prune() == []
        with pytest.raises(Refused, match="cannot be forced"):
            await rig.remove(config, force=True)
        await rig.set("web:3", "a")
        assert await rig.names() == [["docker.io/library/web:3"]]

    with_api(scenario)


def test_the_image_of_a_running_container_cannot_be_forced_by_its_id() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("web:1", "a")
        container = await add_container(api, f"docker.io/library/web:1@{image.digest}", runs=True)
        for force in (False, True):
            with pytest.raises(Refused) as refused:
                await rig.remove(image.variants[0].config_digest[7:19], force=force)
            assert "(cannot be forced)" in str(refused.value)
            assert f"used by running container {short_container_id(container)}" in str(refused.value)

    with_api(scenario)


def test_images_that_only_containers_know_are_listed() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        digest = image_of("other:1", "o").digest
        await add_container(api, f"registry:5000/other:1@{digest}")
        await add_container(api, "registry:5000/unresolved:1")
        assert await rig.names() == [[f"registry:5000/other@{digest}"]]

    with_api(scenario)


def test_what_a_removal_frees_is_what_no_other_image_needs() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        images = [image_of(f"n:{each}", each) for each in "ab"]
        for number, image in enumerate(images):
            image.variants[0].layers.append(f"sha256:{number:064x}")
            image.variants[0].layer_bytes.append(100 + number)
            image.variants[0].stored_bytes = 5 + 100 + number + 1000
            await rig.handler.set(SetImageRequest(image=image), ADMIN)
        first = await rig.handler.remove(RemoveImageRequest(image="n:a"), ADMIN)
        assert first.reclaimed_bytes == 1000 + 100, "the layer below is the other one's too"
        second = await rig.handler.remove(RemoveImageRequest(image="n:b"), ADMIN)
        assert second.reclaimed_bytes == 1000 + 101 + 5

    with_api(scenario)


async def image_events(events: EventLog) -> list[tuple[str, str]]:
    request = WatchEventsRequest(since_ms=1, until_ms=NOW_MS)
    found = [response.event async for response in events.watch(request, ADMIN) if response.HasField("event")]
    assert all(each.type == "image" for each in found)
    return [(each.action, each.name) for each in found]


def test_events_of_images() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        async with remembering(api) as events:
            pulled = image_of("web:1", "a", labels={"tier": "front"})
            pulled.source = f"{pulled.name}@{pulled.digest}"
            await rig.handler.set(SetImageRequest(image=pulled), ADMIN)
            tagged = image_of("web:2", "a")
            tagged.source = pulled.source
            await rig.handler.set(SetImageRequest(image=tagged), ADMIN)
            await rig.set("web:2", "b")  # the name moves
            await rig.remove("web:1")
            await rig.set("web:2", "c")
            assert len(await rig.prune()) == 1
            image_id = image_of("web:1", "a", labels={"tier": "front"}).variants[0].config_digest
            moved = image_of("web:2", "b").variants[0].config_digest
            assert await image_events(events) == [
                ("pull", "web:1"),
                ("tag", "web:2"),
                ("tag", "web:2"),
                ("untag", "web:1"),
                ("delete", image_id),
                ("tag", "web:2"),
                ("delete", moved),
            ]

    with_api(scenario)


def test_filters_of_events() -> None:
    image = Event(type="image", action="tag", id=f"sha256:{'ab' * 32}", name="web:latest")
    container = Event(type="container", action="start", id="x", name="c")
    container.attributes["image"] = "web:latest"
    for text, found in (("web", 2), ("web:latest", 2), ("abab", 1), ("web:2", 0), ("", 0)):
        keeps = EVENTS.parse_mapping({"image": [text]})
        assert sum(map(keeps, (image, container))) == found, text
    assert EVENTS.parse_mapping({"type": ["image"]})(image)
    with pytest.raises(InvalidInput):
        EVENTS.parse_mapping({"type": ["images"]})
