"""The cluster's state format grows with the last manager, and each manager has it beside its data."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from manager.store.changes import delete, put
from manager.store.kinds import LEADER, REGISTERED_MANAGER, STATE_FORMAT
from manager.store.store import Store
from manager.upgrades import format_controller
from manager.upgrades.format_controller import FormatController
from shoal.api.v1.cluster_pb2 import Leader, RegisteredManager, StateFormat
from shoal.errors import LeadershipLost
from shoal.state_format import WrittenFormat, WrongRelease, load_format, this_release
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd


def run(directory: Path, scenario: Callable[[Store, FormatController, int], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            fence = await store.commit([put(LEADER, "", Leader(manager_id="m1"))])
            await scenario(store, FormatController(store=store, state_directory=directory, now_ms=lambda: 5), fence)

    asyncio.run(inside())


async def register(store: Store, name: str, number: int) -> None:
    await store.commit([put(REGISTERED_MANAGER, name, RegisteredManager(id=name, state_format=number))])


def test_the_last_manager_raises_it(tmp_path: Path) -> None:
    async def scenario(store: Store, controller: FormatController, fence: int) -> None:
        await register(store, "m1", 1)
        await register(store, "m2", 0)
        await controller.raise_format(fence)
        assert store.tables.state_format is None
        await store.commit([delete(REGISTERED_MANAGER, "m2")])
        await controller.raise_format(fence)
        assert store.tables.state_format == StateFormat(number=1, release=this_release(), since_ms=5)
        await register(store, "m1", 0)
        await controller.raise_format(fence)
        assert store.tables.state_format == StateFormat(number=1, release=this_release(), since_ms=5)

    run(tmp_path, scenario)


def test_a_former_leader_does_not_raise_it(tmp_path: Path) -> None:
    async def scenario(store: Store, controller: FormatController, fence: int) -> None:
        await register(store, "m1", 1)
        await store.commit([delete(LEADER, "")])
        await store.commit([put(LEADER, "", Leader(manager_id="m2"))])
        with pytest.raises(LeadershipLost):
            await controller.raise_format(fence)
        assert store.tables.state_format is None

    run(tmp_path, scenario)


def test_each_manager_has_it_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_controller, "CHECK_SECONDS", 0.01)

    async def scenario(store: Store, controller: FormatController, fence: int) -> None:
        await store.commit([put(STATE_FORMAT, "", StateFormat(number=1, release="0.1.0"))])
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await controller.keep_file()
        assert load_format(tmp_path) == WrittenFormat(1, "0.1.0")
        # Managers of a newer release went on without this one.
        await store.commit([put(STATE_FORMAT, "", StateFormat(number=99, release="9.0"))])
        with pytest.raises(WrongRelease, match=r"Install Shoal 9\.0 or later"):
            await controller.keep_file()
        assert load_format(tmp_path).number == 1

    run(tmp_path, scenario)
