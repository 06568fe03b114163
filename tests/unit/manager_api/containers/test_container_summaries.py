"""The listing in columns says what the listing of whole records says, whatever has changed since the last one."""

import random
from collections.abc import Sequence

import pytest

from cli.render.container_rows import RowOptions, container_row, summary_columns
from cli.render.table import column_table, table
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.engine_pb2 import Filter, ListContainersRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, TaskTemplate
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from tests.unit.manager_api.containers.container_rig import IMAGE, ContainerRig, with_rig
from tests.unit.manager_api.containers.test_task_calls import serve
from tests.unit.manager_api.control_rig import ADMIN

COLUMNS = ("container_id", "image", "command", "created", "status", "ports", "node", "names")


async def agree(rig: ContainerRig, **fields: object) -> Sequence[str]:
    """Both listings say the same; the names."""
    request = ListContainersRequest(**fields)  # type: ignore[arg-type]  # the caller's
    now_ms = rig.now_ms + 90_000
    columns = summary_columns(await rig.records.summarize(request, ADMIN), now_ms)
    views = (await rig.records.list(request, ADMIN)).containers
    rows = [container_row(view, RowOptions(now_ms, {})) for view in views]
    assert column_table(columns) == table(rows, COLUMNS)
    return list(columns["names"])


@pytest.mark.parametrize("seed", range(4))
def test_both_listings_agree_after_every_change(seed: int) -> None:
    async def play(rig: ContainerRig) -> None:
        chance = random.Random(seed)
        await serve(rig, 2)
        port = PublishedPort(target=80, published=8080)
        spec = ContainerSpec(image=IMAGE, command=["sleep", "a very long word\x07 that is cut"])
        await rig.create("bell", task=TaskTemplate(container=spec))
        await rig.run("port", ports=[port])
        names = ["port", "bell"]
        for number in range(25):
            name, deed = chance.choice(names), chance.randrange(7)
            match deed:
                case 0:
                    await rig.run(f"c{number}")
                    names.append(f"c{number}")
                case 1:
                    await rig.stop(name)
                case 2:
                    await rig.add_node("h1", NodeStatus.READY)
                    await rig.start(name)
                case 3:
                    await rig.lose("h1")
                    await agree(rig, all=True)
                    await rig.add_node("h1")
                case 4:
                    await pause(rig, name)
                case 5:
                    rig.exit_codes[name] = 3
                    await rig.add_node("h2")
                case 6 if len(names) > 2:
                    await rig.remove(names.pop(), force=True)
            await agree(rig, all=chance.random() < 0.7, include_tasks=chance.random() < 0.7)
        assert len(await agree(rig, all=True, include_tasks=True)) >= len(names) + 2
        assert len(await agree(rig, limit=2)) == 2
        assert await agree(rig, all=True, filters=[Filter(key="name", value="bell")]) == ["bell"]

    with_rig(play)


async def pause(rig: ContainerRig, name: str) -> None:
    container = rig.store.tables.container_named(name)
    assert container is not None
    for task in rig.store.tables.tasks_of(container.meta.id).values():
        status = TaskStatus()
        status.CopyFrom(rig.store.tables.task_status.get(task.id, status))
        if status.state == TaskState.RUNNING:
            status.paused = not status.paused
            await rig.store.commit([put(kinds.TASK_STATUS, task.id, status)])


def test_what_it_runs_is_told_once_its_image_is_known() -> None:
    async def play(rig: ContainerRig) -> None:
        view = (await rig.create("c")).container.definition.task.container.image
        assert summary_columns(await rig.records.summarize(ListContainersRequest(all=True), ADMIN), 0)["command"] == [
            '""'
        ]
        digest = view.partition("@")[2]
        variant = ImageVariant(digest=digest, config=b'{"config": {"Cmd": ["sh"]}}')
        await rig.store.commit([put(kinds.IMAGE, "i", Image(name=view, digest=digest, variants=[variant]))])
        await agree(rig, all=True)
        answer = await rig.records.summarize(ListContainersRequest(all=True), ADMIN)
        assert list(answer.commands) == ["sh"]
        assert await rig.records.summarize(ListContainersRequest(all=True), ADMIN) is answer, "nothing has changed"

    with_rig(play)
