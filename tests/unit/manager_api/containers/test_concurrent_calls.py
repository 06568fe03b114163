"""Many callers at once, of few names: every call is answered, and nothing is left once all is removed."""

import asyncio
import random
from contextlib import suppress

import pytest

from shoal.api.v1.engine_pb2 import PruneContainersRequest, RenameContainerRequest, StopContainerRequest
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.errors import NotFound, ShoalError
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN

NAMES = ["db", "web", "app"]
PORTS = [PublishedPort(target=80, published=8080)]
ALWAYS = ContainerRestart(condition=ContainerRestart.ALWAYS)


async def _call(rig: ContainerRig, chance: random.Random) -> None:
    name = chance.choice(NAMES)
    match chance.choice(["create", "create", "once", "start", "start", "stop", "restart", "rename", "remove", "prune"]):
        case "create":
            await rig.create(name, ports=chance.choice([[], PORTS]), restart=chance.choice([None, ALWAYS]))
        case "once":
            await rig.run(name, auto_remove=True)
        case "start":
            await rig.start(name)
        case "stop":
            await rig.stop(name)
        case "restart":
            await rig.runs.restart(StopContainerRequest(container=name), ADMIN)
        case "rename":
            await rig.records.rename(RenameContainerRequest(container=name, name=chance.choice(NAMES)), ADMIN)
        case "remove":
            await rig.remove(name, force=chance.choice([True, False]))
        case "prune":
            await rig.removal.prune(PruneContainersRequest(), ADMIN)


async def _caller(rig: ContainerRig, chance: random.Random) -> int:
    done = 0
    for _ in range(25):
        try:
            await _call(rig, chance)
            done += 1
        except ShoalError:
            continue  # which says why: it is not there, runs, is taken
    return done


@pytest.mark.parametrize("seed", range(6))
def test_all_are_answered_and_nothing_is_left(seed: int) -> None:
    async def scenario(rig: ContainerRig) -> None:
        rig.exit_codes["app"] = seed % 2
        chances = [random.Random(seed * 100 + number) for number in range(8)]
        assert sum(await asyncio.gather(*(_caller(rig, chance) for chance in chances))) > 20
        tables = rig.store.tables
        owners = {f"container/{row.name}": row.meta.id for row in tables.containers.values()}
        assert {key: name.meta.id for key, name in tables.names.items() if key.startswith("container/")} == owners
        for container in [*tables.containers.values()]:
            with suppress(NotFound):  # it has removed itself
                await rig.remove(container.meta.id, force=True)
        await rig.until(lambda: not (tables.tasks or tables.revisions or tables.service_status or tables.task_status))
        assert not [key for key in tables.names if key.startswith("container/")]

    with_rig(scenario)
