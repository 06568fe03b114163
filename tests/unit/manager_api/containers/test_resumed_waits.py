"""Waits for the end of a container that go on at another manager."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from shoal.api.v1.engine_pb2 import WaitContainerRequest, WaitContainerResponse
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.errors import NotFound, Refused
from shoal.resumption.wait_resumption import WaitResumption
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN

NEXT_EXIT, NOT_RUNNING = WaitContainerRequest.NEXT_EXIT, WaitContainerRequest.NOT_RUNNING


async def begun(rig: ContainerRig, condition: WaitContainerRequest.Condition.ValueType) -> WaitResumption:
    """A wait whose connection is lost after its first response."""
    identifier = next(iter(rig.store.tables.containers))
    waiting = WaitResumption(WaitContainerRequest(container=identifier, condition=condition))
    async with aclosing(answers(rig, waiting)) as found:
        first = await anext(found)
        assert waiting.unseen(first) is first
    return waiting


def answers(rig: ContainerRig, waiting: WaitResumption) -> AsyncGenerator[WaitContainerResponse]:
    return rig.waits.wait(waiting.request(), ADMIN)


async def resumed(rig: ContainerRig, waiting: WaitResumption) -> int:
    """The exit code, which comes at once."""
    shown = [each async for each in answers(rig, waiting) if waiting.unseen(each) is not None]
    assert len(shown) == 1, "the first response is not shown again"
    return shown[0].exit_code


async def still_waits(rig: ContainerRig, waiting: WaitResumption) -> AsyncGenerator[WaitContainerResponse]:
    found = answers(rig, waiting)
    assert waiting.unseen(await anext(found)) is None
    return found


@pytest.mark.parametrize("condition", [NEXT_EXIT, NOT_RUNNING])
def test_an_end_between_two_managers_is_told(condition: WaitContainerRequest.Condition.ValueType) -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db", restart=ContainerRestart(condition=ContainerRestart.ALWAYS))
        waiting = await begun(rig, condition)
        await rig.stop("db")
        assert await resumed(rig, waiting) == 143

    with_rig(scenario)


@pytest.mark.parametrize("condition", [NEXT_EXIT, NOT_RUNNING])
def test_no_wrong_code_is_told_of_what_runs_again(condition: WaitContainerRequest.Condition.ValueType) -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        waiting = await begun(rig, condition)
        await rig.stop("db")
        await rig.start("db")
        with pytest.raises(Refused, match="exit code is not known"):
            await resumed(rig, waiting)

    with_rig(scenario)


@pytest.mark.parametrize("condition", [NEXT_EXIT, NOT_RUNNING])
def test_what_runs_on_is_waited_for(condition: WaitContainerRequest.Condition.ValueType) -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        waiting = await begun(rig, condition)
        for _ in range(2):
            found = await still_waits(rig, waiting)
            await found.aclose()
        found = await still_waits(rig, waiting)
        await rig.stop("db")
        assert (await anext(found)).exit_code == 143

    with_rig(scenario)


def test_an_end_before_the_wait_does_not_count() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        await rig.stop("db")
        waiting = await begun(rig, NEXT_EXIT)
        await (await still_waits(rig, waiting)).aclose()
        await rig.start("db")
        await (await still_waits(rig, waiting)).aclose()
        await rig.stop("db")
        await rig.start("db")
        with pytest.raises(Refused, match="exit code is not known"):
            await resumed(rig, waiting)

    with_rig(scenario)


def test_a_first_run_between_two_managers_is_told() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.create("db")
        waiting = await begun(rig, NEXT_EXIT)
        await (await still_waits(rig, waiting)).aclose()
        await rig.start("db")
        await (await still_waits(rig, waiting)).aclose()
        await rig.stop("db")
        assert await resumed(rig, waiting) == 143

    with_rig(scenario)


def test_a_container_that_was_removed_meanwhile_is_not_found() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("once", auto_remove=True)
        waiting = await begun(rig, WaitContainerRequest.REMOVED)
        await rig.stop("once")
        await rig.until(lambda: not rig.store.tables.containers)
        with pytest.raises(NotFound):
            await resumed(rig, waiting)

    with_rig(scenario)
