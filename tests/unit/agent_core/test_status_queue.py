"""Which ends are for certain stored nowhere: those that were never sent, and those that a manager has dropped."""

from collections.abc import Awaitable, Callable

from agent.session.status_queue import StatusQueue
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from tests.fakes.virtual_time import run_virtual

S = TaskState


def status(task_id: str, state: TaskState.ValueType = S.FAILED) -> TaskStatus:
    return TaskStatus(task_id=task_id, state=state)


def scenario(play: Callable[[StatusQueue], Awaitable[None]]) -> None:
    async def run() -> None:
        queue = StatusQueue()
        queue.start_session()
        await play(queue)

    run_virtual(run())


async def sent(queue: StatusQueue) -> set[str]:
    return {each.task_id for each in (await queue.next_batch()).statuses}


def test_an_end_that_was_sent_is_in_doubt_and_one_that_waited_is_forgotten() -> None:
    async def play(queue: StatusQueue) -> None:
        queue.put(status("a"))
        assert await sent(queue) == {"a"}
        queue.put(status("b"))
        assert queue.end_session() == ["b"]
        queue.start_session()
        assert await sent(queue) == {"a"}, "it is sent again, and the forgotten one is not"

    scenario(play)


def test_what_a_manager_has_dropped_is_in_no_doubt() -> None:
    async def play(queue: StatusQueue) -> None:
        queue.put(status("a"))
        await sent(queue)
        queue.put(status("b"))
        assert queue.dropped() == ["a", "b"]
        assert queue.end_session() == []

    scenario(play)


def test_the_doubt_of_an_earlier_session_outlives_a_later_one_that_drops_it() -> None:
    async def play(queue: StatusQueue) -> None:
        queue.put(status("a"))
        await sent(queue)
        assert queue.end_session() == []
        queue.start_session()
        await sent(queue)
        assert queue.dropped() == []
        queue.start_session()
        await sent(queue)
        assert [each.task_id for each in queue.acknowledge(1)] == ["a"]
        queue.put(status("a"))
        assert queue.end_session() == ["a"], "an answer ends the doubt"

    scenario(play)


def test_an_earlier_state_that_may_be_stored_says_nothing_about_the_end() -> None:
    async def play(queue: StatusQueue) -> None:
        queue.put(status("a", S.RUNNING))
        await sent(queue)
        queue.put(status("a"))
        assert queue.end_session() == ["a"]

    scenario(play)
