"""Solves and their progress, which clients ask for by a call of its own, before, during or after the solve."""

import asyncio

import pytest

from engine.buildkit.solves import KEEP_SECONDS, WAIT_SECONDS, RunningSolve, Solves
from engine.buildkit.status_feed import StatusFeed
from engine.buildkit.v1.control_pb2 import SolveRequest, StatusResponse, VertexLog
from engine.server.callers import ApiCaller, local_caller
from shoal.errors import NotFound
from shoal.identity.roles import Role
from tests.fakes.virtual_time import run_virtual

CALLER, OTHER = local_caller(Role.ADMIN), local_caller(Role.ENGINE)
REQUEST = SolveRequest(ref="r")


async def report(solve: RunningSolve, text: bytes) -> None:
    await solve.feed.put(StatusResponse(logs=[VertexLog(msg=text)]))


async def read(feed: StatusFeed) -> list[bytes]:
    return [log.msg async for response in feed.follow() for log in response.logs]


async def is_found(solves: Solves, caller: ApiCaller = CALLER) -> bool:
    try:
        await solves.progress(caller, REQUEST.ref)
    except NotFound:
        return False
    return True


def test_progress_is_there_for_who_asks_before_the_solve_begins() -> None:
    async def scenario() -> None:
        solves = Solves()
        asked = asyncio.create_task(solves.progress(CALLER, REQUEST.ref))
        await asyncio.sleep(WAIT_SECONDS / 2)
        with solves.begin(CALLER, REQUEST) as solve:
            await report(solve, b"a")
            reading = asyncio.create_task(read(await asked))
            await report(solve, b"b")
        assert await reading == [b"a", b"b"]

    run_virtual(scenario())


def test_progress_of_a_solve_that_is_over_is_there_for_who_asks_then() -> None:
    async def scenario() -> None:
        solves = Solves()
        with solves.begin(CALLER, REQUEST) as solve:
            await report(solve, b"a")
        begin = asyncio.get_running_loop().time()
        assert await read(await solves.progress(CALLER, REQUEST.ref)) == [b"a"]
        assert asyncio.get_running_loop().time() == begin

    run_virtual(scenario())


def test_a_solve_that_is_over_at_once_does_not_leave_waiting_who_asked_before() -> None:
    async def scenario() -> None:
        solves = Solves()
        asked = asyncio.create_task(solves.progress(CALLER, REQUEST.ref))
        await asyncio.sleep(1)
        begin = asyncio.get_running_loop().time()
        with solves.begin(CALLER, REQUEST):
            pass
        assert await read(await asked) == []
        assert asyncio.get_running_loop().time() == begin

    run_virtual(scenario())


def test_progress_of_a_solve_that_is_over_is_its_callers_alone_and_not_for_ever() -> None:
    async def scenario() -> None:
        solves = Solves()
        with solves.begin(CALLER, REQUEST):
            pass
        assert not await is_found(solves, OTHER)
        with solves.begin(CALLER, REQUEST):
            pass
        await asyncio.sleep(KEEP_SECONDS + 1)
        assert not await is_found(solves)

    run_virtual(scenario())


def test_progress_that_a_client_has_followed_is_not_kept() -> None:
    async def scenario() -> None:
        solves = Solves()
        with solves.begin(CALLER, REQUEST) as solve:
            reading = asyncio.create_task(read(await solves.progress(CALLER, REQUEST.ref)))
            await report(solve, b"a")
            await asyncio.sleep(0)
        assert await reading == [b"a"]
        assert not await is_found(solves)

    run_virtual(scenario())


def test_a_solve_of_the_same_ref_has_progress_of_its_own_for_as_long() -> None:
    async def scenario() -> None:
        solves = Solves()
        with solves.begin(CALLER, REQUEST) as solve:
            await report(solve, b"first")
        await asyncio.sleep(KEEP_SECONDS / 2)
        with solves.begin(CALLER, REQUEST) as solve:
            await report(solve, b"second")
        await asyncio.sleep(KEEP_SECONDS / 2 + 1)
        assert await read(await solves.progress(CALLER, REQUEST.ref)) == [b"second"]

    run_virtual(scenario())


def test_calls_within_a_solve_do_not_find_one_that_is_over() -> None:
    async def scenario() -> None:
        solves = Solves()
        with solves.begin(CALLER, REQUEST):
            pass
        with pytest.raises(NotFound):
            await solves.find(CALLER, REQUEST.ref)

    run_virtual(scenario())
