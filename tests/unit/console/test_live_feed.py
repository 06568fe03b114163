"""The feed: a snapshot, increments, another snapshot for those who are late or after a break."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from console.feed import cluster_rows, live_feed
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
    async with asyncio.timeout(60):
        found: dict[str, Any] = json.loads(await anext(messages))
    return found


async def kinds_until(messages: AsyncIterator[str], kind: str) -> tuple[list[str], dict[str, Any]]:
    seen = []
    while True:
        found = await message(messages)
        seen.append(found["type"])
        if found["type"] == kind:
            return seen, found


async def whole_snapshot(messages: AsyncIterator[str]) -> tuple[list[str], dict[str, Any]]:
    """The kinds of messages before it, and all of its parts in one."""
    seen, found = await kinds_until(messages, "snapshot")
    found["tasks"] = []
    while (part := await message(messages))["type"] != "complete":
        assert part["type"] == "part"
        found["tasks"] += part["tasks"]
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
        _, snapshot = await whole_snapshot(messages)
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
        _, snapshot = await whole_snapshot(rig.feed.messages())
        assert len(snapshot["nodes"]) == 1

    with_rig(scenario)


def test_managers_that_fail_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "_FIRST_DELAY", 0.001)

    async def scenario(rig: Rig) -> None:
        rig.say(node("n", "h1"), ClusterChanges(complete=True))
        messages = rig.feed.messages()
        await whole_snapshot(messages)
        rig.say(Unavailable("the manager is gone"))
        found = await message(messages)
        assert found == {"type": "connection", "problem": "the manager is gone"}
        assert [each["name"] for each in rig.feed.rows.nodes.values()] == ["h1"]  # what was known stays
        rig.say(node("n", "h2"), ClusterChanges(complete=True))
        seen, snapshot = await whole_snapshot(messages)
        assert seen == ["connection", "snapshot"]
        assert snapshot["nodes"][0]["name"] == "h2"
        assert rig.calls == 2

    with_rig(scenario)


def test_a_browser_that_is_late_gets_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "KEPT", 3)

    async def scenario(rig: Rig) -> None:
        rig.say(ClusterChanges(complete=True))
        late, quick = rig.feed.messages(), rig.feed.messages()
        await whole_snapshot(late)
        await whole_snapshot(quick)
        for number in range(10):
            rig.say(task(f"t{number}"))
            assert (await message(quick))["type"] == "changes"
        seen, snapshot = await whole_snapshot(late)
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
        known = await applied(messages, set())
        for number in range(30):
            rig.say(task(f"t{number}"))
            await asyncio.sleep(0)
            if number % 5 == 0:
                known = await applied(messages, known)
        await asyncio.sleep(0.01)
        while known != {f"t{number}" for number in range(30)}:
            known = await applied(messages, known)

    with_rig(scenario)


async def applied(messages: AsyncIterator[str], known: set[str]) -> set[str]:
    """Ids of tasks that a page has after an increment, or after the whole of a snapshot."""
    found = await message(messages)
    if found["type"] == "changes":
        return known | {each[0] for each in found.get("tasks", ())}
    known, kind = set(), found["type"]
    while kind != "complete":
        found = await message(messages)
        known, kind = known | {each[0] for each in found.get("tasks", ())}, found["type"]
    return known


def test_a_large_snapshot_comes_in_parts_and_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_rows, "TASKS_IN_PART", 2)

    async def scenario(rig: Rig) -> None:
        rig.say(node("n", "h1"), *(task(f"t{number}") for number in range(5)), ClusterChanges(complete=True))
        messages = rig.feed.messages()
        _, first = await kinds_until(messages, "snapshot")
        assert "tasks" not in first
        part = await message(messages)
        assert len(part["tasks"]) == 2
        # The page has t0 and not yet t4: what changes meanwhile is in a later part, or follows.
        rig.say(task("t0", TaskState.FAILED), ClusterChanges(removed_tasks=["t4"]), task("t5"))
        await asyncio.sleep(0.01)
        states, gone = {each[0]: each[4] for each in part["tasks"]}, set()
        while "t5" not in states:
            found = await message(messages)
            states |= {each[0]: each[4] for each in found.get("tasks", ())}
            gone |= set(found.get("removed", {}).get("tasks", ()))
        assert (states["t0"], set(states) - gone) == ("failed", {"t0", "t1", "t2", "t3", "t5"})

    with_rig(scenario)


def test_a_snapshot_is_encoded_once_for_browsers_that_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "REUSED", 1)
    encoded: list[str] = []

    def count(document: dict[str, Any]) -> str:
        encoded.append(document["type"])
        return json.dumps(document)

    monkeypatch.setattr(live_feed, "encode", count)

    async def scenario(rig: Rig) -> None:
        rig.say(task("t0"), ClusterChanges(complete=True))
        await whole_snapshot(rig.feed.messages())
        rig.say(task("t1"))
        await asyncio.sleep(0.01)
        second = rig.feed.messages()
        _, snapshot = await whole_snapshot(second)
        assert [each[0] for each in snapshot["tasks"]] == ["t0"]
        assert (await message(second))["tasks"][0][0] == "t1"
        assert encoded.count("snapshot") == 1
        rig.say(task("t2"))
        await asyncio.sleep(0.01)
        _, snapshot = await whole_snapshot(rig.feed.messages())
        assert [each[0] for each in snapshot["tasks"]] == ["t0", "t1", "t2"]
        assert encoded.count("snapshot") == 2

    with_rig(scenario)
