"""How ends are told, what /etc holds, how the outbox and the backoff behave."""

import asyncio
from itertools import islice

import pytest

from agent.session.backoff import Backoff, delays, max_delay
from agent.session.status_queue import BATCHES_AT_ONCE, MAX_DELAY_SECONDS, MIN_INTERVAL_SECONDS, StatusQueue
from agent.worker.container_runtime import Exit
from agent.worker.exit_status import failure_reason, final_state
from agent.worker.sandbox import Sandbox
from agent.worker.startup.etc_files import etc_files, hostname
from shoal.api.v1.container_pb2 import ContainerSpec, DnsConfig
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from tests.fakes.virtual_time import run_virtual


def test_final_states() -> None:
    assert final_state(Exit(0, False, 1), stop_requested=False) == TaskState.COMPLETE
    assert final_state(Exit(3, False, 1), stop_requested=False) == TaskState.FAILED
    assert final_state(Exit(143, False, 1), stop_requested=True) == TaskState.SHUTDOWN
    assert final_state(Exit(0, True, 1), stop_requested=False) == TaskState.FAILED


def test_why_it_ended() -> None:
    assert failure_reason(Exit(3, False, 1), 0) == "exit code 3"
    assert failure_reason(Exit(0, False, 1), 0) == ""
    assert failure_reason(Exit(137, True, 1), 64 << 20) == "out of memory (limit 64 MiB)"
    assert failure_reason(Exit(139, False, 1), 0) == "killed by SIGSEGV (exit code 139)"
    assert failure_reason(Exit(255, False, 1, "conmon was killed"), 0) == "conmon was killed"


def test_files_of_etc() -> None:
    spec = ContainerSpec(extra_hosts=["db:10.1.1.1"], dns=DnsConfig(search=["example.org"], options=["ndots:0"]))
    files = etc_files(spec, "web.1.abc", Sandbox(3, {"net": "10.0.0.7"}, "10.255.0.1"), "nameserver 192.0.2.53\n")
    assert files["/etc/hostname"] == b"web-1-abc\n"
    assert b"10.0.0.7\tweb-1-abc\n" in files["/etc/hosts"] and b"10.1.1.1\tdb\n" in files["/etc/hosts"]
    assert files["/etc/resolv.conf"] == b"nameserver 10.255.0.1\nsearch example.org\noptions ndots:0\n"


def test_the_host_gateway_is_the_address_of_the_node() -> None:
    spec = ContainerSpec(extra_hosts=["node:host-gateway", "db:10.1.1.1"])
    for address in ("192.0.2.7", "fd00::7"):
        lines = etc_files(spec, "web.1.abc", None, "", node_address=address)["/etc/hosts"].decode().splitlines()
        assert lines[-2:] == [f"{address}\tnode", "10.1.1.1\tdb"]


def test_resolv_conf_of_a_task_that_the_resolver_does_not_serve_is_the_hosts() -> None:
    files = etc_files(ContainerSpec(), "web", None, "search lan\nnameserver 192.0.2.53\n")
    assert files["/etc/resolv.conf"] == b"search lan\nnameserver 192.0.2.53\n"


def test_a_host_name_is_cut_to_what_is_allowed() -> None:
    assert len(hostname(ContainerSpec(), "a" * 100)) == 63
    assert hostname(ContainerSpec(hostname="own"), "web.1") == "own"


def test_backoff_grows_to_its_bound_which_the_size_of_the_cluster_sets() -> None:
    assert list(islice(delays(lambda: 1.0), 7)) == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert list(islice(delays(lambda: 0.5, max_delay(10.0)), 9))[-2:] == [5.0, 5.0], "full jitter"
    known, unknown = Backoff(lambda: 1.0), Backoff(lambda: 1.0)
    assert [unknown.next_delay(0.1) for _ in range(9)][-2:] == [2.0, 2.0], (
        "refused: nobody listens, and is not kept from work"
    )
    assert [unknown.next_delay(5.0) for _ in range(5)] == [5.0, 10.0, 20.0, 30.0, 30.0], "no answer: thousands may ask"
    known.answered(15.0)
    assert known.next_delay(3600.0) == 0.75, "a session that was there has ended"
    assert [known.next_delay(0.1) for _ in range(9)][-2:] == [15.0, 15.0]
    assert [known.next_delay(5.0) for _ in range(4)] == [15.0, 30.0, 30.0, 30.0]
    known.answered(0.01)
    assert [known.next_delay(5.0) for _ in range(7)] == [0.1, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], "a cluster of three"
    assert [max_delay(reported) for reported in (0.0, 0.03, 10.0, 100.0)] == [2.0, 2.0, 10.0, 30.0]


def status(task_id: str, state: TaskState.ValueType) -> TaskStatus:
    return TaskStatus(task_id=task_id, state=state)


def test_one_batch_is_under_way_and_the_newest_status_of_a_task_gathers() -> None:
    async def scenario() -> None:
        outbox = StatusQueue()
        outbox.put(status("t", TaskState.ACCEPTED))
        first = await outbox.next_batch()
        outbox.put(status("t", TaskState.STARTING))
        outbox.put(status("t", TaskState.RUNNING))
        waiting = asyncio.ensure_future(outbox.next_batch())
        await asyncio.sleep(0)
        assert first.sequence == 1 and not waiting.done()
        outbox.acknowledge(1)
        second = await waiting
        assert [each.state for each in second.statuses] == [TaskState.RUNNING]

    run_virtual(scenario())


def test_steps_wait_to_be_overtaken_and_a_running_task_is_told_at_once() -> None:
    async def scenario() -> None:
        outbox, now = StatusQueue(), asyncio.get_running_loop().time
        begin = now()
        outbox.put(status("t", TaskState.ACCEPTED))
        waiting = asyncio.ensure_future(outbox.next_batch())
        await asyncio.sleep(MAX_DELAY_SECONDS / 2)
        outbox.put(status("t", TaskState.RUNNING))
        assert [each.state for each in (await waiting).statuses] == [TaskState.RUNNING]
        assert now() - begin == pytest.approx(MAX_DELAY_SECONDS / 2)
        outbox.acknowledge(1)
        outbox.put(status("u", TaskState.PREPARING))
        assert [each.state for each in (await outbox.next_batch()).statuses] == [TaskState.PREPARING]
        assert now() - begin == pytest.approx(MAX_DELAY_SECONDS * 1.5)

    run_virtual(scenario())


def test_tasks_that_come_to_run_one_after_the_other_share_batches() -> None:
    """Fifty within a second, each 20 ms after the last: the first is told at once, the others two by two."""

    async def scenario() -> None:
        outbox, now, batches = StatusQueue(), asyncio.get_running_loop().time, 0
        begin = now()
        outbox.put(status("0", TaskState.RUNNING))
        assert len((await outbox.next_batch()).statuses) == 1 and now() == begin
        outbox.acknowledge(1)
        for number in range(1, 50):
            asyncio.get_running_loop().call_later(0.02 * number, outbox.put, status(str(number), TaskState.RUNNING))
        reported = 1
        while reported < 50:
            batch = await outbox.next_batch()
            outbox.acknowledge(batch.sequence)
            batches, reported = batches + 1, reported + len(batch.statuses)
        assert batches <= 40 + BATCHES_AT_ONCE - 1
        assert now() - begin == pytest.approx(0.98, abs=MIN_INTERVAL_SECONDS)

    run_virtual(scenario())


def test_start_and_end_of_a_short_program_are_told_at_once() -> None:
    async def scenario() -> None:
        outbox, now = StatusQueue(), asyncio.get_running_loop().time
        begin, sent_at = now(), []
        for state in (TaskState.RUNNING, TaskState.COMPLETE, TaskState.RUNNING):
            outbox.put(status("t", state))
            outbox.acknowledge((await outbox.next_batch()).sequence)
            sent_at.append(now() - begin)
        assert sent_at == pytest.approx([0, 0, MIN_INTERVAL_SECONDS])

    run_virtual(scenario())


def test_what_was_not_acknowledged_is_sent_again_unless_there_is_news() -> None:
    async def scenario() -> None:
        outbox = StatusQueue()
        outbox.put(status("old", TaskState.RUNNING))
        outbox.put(status("t", TaskState.ACCEPTED))
        await outbox.next_batch()
        outbox.put(status("t", TaskState.RUNNING))
        outbox.start_session()
        again = await outbox.next_batch()
        assert again.sequence == 1
        assert {each.task_id: each.state for each in again.statuses} == {
            "old": TaskState.RUNNING,
            "t": TaskState.RUNNING,
        }

    run_virtual(scenario())
