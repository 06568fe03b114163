"""The feed: a snapshot, increments, another snapshot for those who are late or after a break."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from console.feed import live_feed
from console.feed.live_feed import LiveFeed
from shoal.api.v1.control_pb2 import ClusterChanges, TaskSummary
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import Unavailable


def node(identifier: str, hostname: str) -> ClusterChanges:
    changes = ClusterChanges()
    changes.nodes.add().meta.id = identifier
    status = changes.node_status.add(node_id=identifier, state=NodeStatus.READY)
    status.description.hostname = hostname
    return changes


def task(identifier: str, state: "TaskState.ValueType" = TaskState.RUNNING) -> ClusterChanges:
    return ClusterChanges(tasks=[TaskSummary(id=identifier, service_id="s", node_id="n", state=state)])


class Rig:
    """A feed whose managers say what the test puts into `script`."""

    def __init__(self) -> None:
        self.script: asyncio.Queue[ClusterChanges | Exception] = asyncio.Queue()
        self.calls = 0
        self.feed = LiveFeed(self._watch)

    async def _watch(self) -> AsyncGenerator[ClusterChanges]:
        self.calls += 1
        while True:
            each = await self.script.get()
            if isinstance(each, Exception):
                raise each
            yield each

    def say(self, *changes: ClusterChanges | Exception) -> None:
        for each in changes:
            self.script.put_nowait(each)


async def message(messages: AsyncIterator[str]) -> dict[str, Any]:
    async with asyncio.timeout(5):
        found: dict[str, Any] = json.loads(await anext(messages))
    return found


async def kinds_until(messages: AsyncIterator[str], kind: str) -> tuple[list[str], dict[str, Any]]:
    seen = []
    while True:
        found = await message(messages)
        seen.append(found["type"])
        if found["type"] == kind:
            return seen, found


def with_rig(scenario: Any) -> None:
    async def run() -> None:
        rig = Rig()
        running = asyncio.create_task(rig.feed.run())
        try:
            await scenario(rig)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_a_snapshot_then_what_changes() -> None:
    async def scenario(rig: Rig) -> None:
        rig.say(node("n", "h1"), task("t"), ClusterChanges(complete=True))
        messages = rig.feed.messages()
        _, snapshot = await kinds_until(messages, "snapshot")
        assert [each["name"] for each in snapshot["nodes"]] == ["h1"]
        assert [each[0] for each in snapshot["tasks"]] == ["t"]
        rig.say(task("t"), task("t", TaskState.FAILED))  # the first changes nothing
        changes = await message(messages)
        assert (changes["type"], changes["tasks"][0][4]) == ("changes", "failed")
        rig.say(ClusterChanges(removed_tasks=["t", "unknown"]))
        assert (await message(messages))["removed"] == {"tasks": ["t"]}

    with_rig(scenario)


def test_half_a_snapshot_is_shown_to_nobody() -> None:
    async def scenario(rig: Rig) -> None:
        rig.say(node("n", "h1"))
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            _ = rig.feed.rows
        rig.say(ClusterChanges(complete=True))
        _, snapshot = await kinds_until(rig.feed.messages(), "snapshot")
        assert len(snapshot["nodes"]) == 1

    with_rig(scenario)


def test_managers_that_fail_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "_FIRST_DELAY", 0.001)

    async def scenario(rig: Rig) -> None:
        rig.say(node("n", "h1"), ClusterChanges(complete=True))
        messages = rig.feed.messages()
        await kinds_until(messages, "snapshot")
        rig.say(Unavailable("the manager is gone"))
        found = await message(messages)
        assert found == {"type": "connection", "problem": "the manager is gone"}
        assert [each["name"] for each in rig.feed.rows.document()["nodes"]] == ["h1"]  # what was known stays
        rig.say(node("n", "h2"), ClusterChanges(complete=True))
        seen, snapshot = await kinds_until(messages, "snapshot")
        assert seen == ["connection", "snapshot"]
        assert snapshot["nodes"][0]["name"] == "h2"
        assert rig.calls == 2

    with_rig(scenario)


def test_a_browser_that_is_late_gets_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "KEPT", 3)

    async def scenario(rig: Rig) -> None:
        rig.say(ClusterChanges(complete=True))
        late, quick = rig.feed.messages(), rig.feed.messages()
        await kinds_until(late, "snapshot")
        await kinds_until(quick, "snapshot")
        for number in range(10):
            rig.say(task(f"t{number}"))
            assert (await message(quick))["type"] == "changes"
        seen, snapshot = await kinds_until(late, "snapshot")
        assert seen == ["snapshot"]
        assert len(snapshot["tasks"]) == 10
        rig.say(task("t10"))
        assert (await message(late))["tasks"][0][0] == "t10"

    with_rig(scenario)


def test_a_snapshot_in_the_middle_of_reading_increments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "KEPT", 2)

    async def scenario(rig: Rig) -> None:
        rig.say(ClusterChanges(complete=True))
        messages = rig.feed.messages()
        await kinds_until(messages, "snapshot")
        known: set[str] = set()
        for number in range(30):
            rig.say(task(f"t{number}"))
            await asyncio.sleep(0)
            if number % 5 == 0:
                found = await message(messages)
                known = {each[0] for each in found["tasks"]} | (known if found["type"] == "changes" else set())
        await asyncio.sleep(0.01)
        while known != {f"t{number}" for number in range(30)}:
            found = await message(messages)
            known = {each[0] for each in found["tasks"]} | (known if found["type"] == "changes" else set())

    with_rig(scenario)
