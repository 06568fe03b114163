"""How far a node is, as its session knows it."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing
from itertools import count
from typing import cast

from manager.dispatcher.assignments.dirty_records import RecordRef
from manager.dispatcher.assignments.file_delivery import FileDelivery
from manager.dispatcher.assignments.node_assignments import AssignmentChanges
from manager.dispatcher.sessions.agent_session import MAX_UNAPPLIED, AgentSession
from manager.dispatcher.statuses.node_status_updates import NodeReport
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.task_pb2 import Task
from tests.fakes.virtual_time import run_virtual


class NoFiles:
    def messages(self, files: object, revision: int) -> list[Assignments]:
        return []


def test_a_node_is_at_what_it_has_applied_and_at_the_newest_when_it_lacks_nothing() -> None:
    async def scenario() -> None:
        session, revision = AgentSession("n", count(1), NodeReport(NodeDescription())), [10]

        def source(node_id: str, marks: Collection[RecordRef] | None) -> AssignmentChanges:
            reported = Assignments(snapshot=marks is None, store_revision=revision[0], tasks=[Task(id="t")])
            return AssignmentChanges(reported, {})

        messages = session.messages(source, cast(FileDelivery, NoFiles()))
        async with aclosing(messages):
            first = (await anext(messages)).assignments
            assert session.applied_revision(10) == 0
            session.applied(first.sequence)
            assert session.applied_revision(12) == 12
            revision[0] = 13
            session.mark_dirty(2, [("task", "t")])
            assert session.applied_revision(13) == 10
            second = (await anext(messages)).assignments
            assert session.applied_revision(14) == 10
            session.applied(second.sequence)
            assert session.applied_revision(14) == 14

    asyncio.run(scenario())


def test_a_node_that_applies_nothing_is_sent_no_more_until_it_does() -> None:
    """Every message that it has not applied is remembered."""

    async def scenario() -> None:
        session = AgentSession("n", count(1), NodeReport(NodeDescription()))

        def source(node_id: str, marks: Collection[RecordRef] | None) -> AssignmentChanges:
            tasks = [Task(id=key) for _, key in marks or ()]
            return AssignmentChanges(Assignments(snapshot=marks is None, store_revision=1, tasks=tasks), {})

        sent: list[Assignments] = []

        async def receive() -> None:
            messages = session.messages(source, cast(FileDelivery, NoFiles()))
            while True:
                sent.append((await anext(messages)).assignments)

        receiving = asyncio.create_task(receive())
        for number in range(MAX_UNAPPLIED + 10):
            session.mark_dirty(number, [("task", f"t{number}")])
            await asyncio.sleep(0.001)
        assert len(sent) == MAX_UNAPPLIED
        session.applied(sent[-1].sequence)
        await asyncio.sleep(0.001)
        assert len(sent) == MAX_UNAPPLIED + 1
        assert {task.id for each in sent for task in each.tasks} >= {
            f"t{number}" for number in range(1, MAX_UNAPPLIED + 10)
        }
        session.applied(sent[-1].sequence)
        assert session.applied_revision(7) == 7
        receiving.cancel()

    run_virtual(scenario())
