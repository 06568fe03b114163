"""How far a node is, as its session knows it."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing
from itertools import count
from typing import cast

from manager.dispatcher.file_contents import FileContents
from manager.dispatcher.marks import Mark
from manager.dispatcher.needs import News
from manager.dispatcher.node_records import Told
from manager.dispatcher.session import AgentSession
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.task_pb2 import Task


class NoFiles:
    def messages(self, files: object, revision: int) -> list[Assignments]:
        return []


def test_a_node_is_at_what_it_has_applied_and_at_the_newest_when_it_lacks_nothing() -> None:
    async def scenario() -> None:
        session, revision = AgentSession("n", count(1), Told(NodeDescription())), [10]

        def source(node_id: str, marks: Collection[Mark] | None) -> News:
            told = Assignments(snapshot=marks is None, store_revision=revision[0], tasks=[Task(id="t")])
            return News(told, {})

        messages = session.messages(source, cast(FileContents, NoFiles()))
        async with aclosing(messages):
            first = (await anext(messages)).assignments
            assert session.revision(10) == 0
            session.applied(first.sequence)
            assert session.revision(12) == 12
            revision[0] = 13
            session.touch(2, [("task", "t")])
            assert session.revision(13) == 10
            second = (await anext(messages)).assignments
            assert session.revision(14) == 10
            session.applied(second.sequence)
            assert session.revision(14) == 14

    asyncio.run(scenario())
