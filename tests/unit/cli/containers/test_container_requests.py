"""Flags of container commands as requests; what is wrong with them is said at once."""

import signal
import subprocess
import sys
import threading
import time

import click
import pytest

from cli.commands.common.for_each import for_each, print_each
from cli.commands.container.container_changes import UNSUPPORTED, faults_by_flag, update_request
from cli.commands.container.container_listing import FILTERS, to_filters
from cli.commands.container.container_logs import logs_request
from cli.commands.container.container_removal import prune_filters
from cli.commands.container.container_stop import stop_request
from shoal.errors import Fault, InvalidInput, NotFound, Unavailable

DOCKER_FILTERS = {
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "label", "name", "network", "publish", "since",
    "status", "volume",
}  # fmt: skip


def test_filters_are_dockers() -> None:
    assert DOCKER_FILTERS | {"node"} == set(FILTERS.keys)
    (found,) = to_filters(["Status=exited"])
    assert (found.key, found.value) == ("status", "exited")


def test_all_faults_of_filters_are_reported() -> None:
    with pytest.raises(InvalidInput) as caught:
        to_filters(["status=gone", "colour=red", "nothing"])
    assert len(caught.value.faults) == 3


def test_limits() -> None:
    given = {"memory": "512M", "cpus": "1.5", "pids_limit": "-1", "memory_swap": "1G", "cpu_shares": "512"}
    request = update_request({**given, "cpu_quota": None})
    assert (request.limits.memory_bytes, request.limits.nano_cpus, request.limits.pids) == (
        512 << 20,
        1_500_000_000,
        -1,
    )
    assert (request.memory.swap_bytes, request.cpu.shares) == (1 << 30, 512)
    assert not request.HasField("restart")


def test_every_fault_of_an_update_is_reported_by_its_flag() -> None:
    with pytest.raises(InvalidInput) as caught:
        update_request({"memory": "much", "restart": "sometimes", "blkio_weight": "10"})
    assert sorted(str(fault).split(":")[0] for fault in caught.value.faults) == [
        "--blkio-weight",
        "--memory",
        "--restart",
    ]
    with pytest.raises(InvalidInput, match="nothing to update"):
        update_request({"memory": None})


@pytest.mark.parametrize("flag", UNSUPPORTED)
def test_what_an_update_does_not_honour_is_named(flag: str) -> None:
    with pytest.raises(InvalidInput, match=f"{flag}: not supported: "):
        update_request({flag[2:].replace("-", "_"): "1"})


def test_faults_of_the_manager_are_those_of_flags() -> None:
    faults = [Fault("task.limits.memory_bytes", "too low"), Fault("restart.max_attempts", "x"), Fault("odd", "y")]
    assert [fault.path for fault in faults_by_flag(faults)] == ["--memory", "--restart", "odd"]


def test_how_to_stop() -> None:
    assert not stop_request("", None).HasField("grace_ms")
    assert (stop_request("INT", 3).signal, stop_request("INT", 3).grace_ms) == ("INT", 3000)
    assert stop_request("", -1).grace_ms == -1
    assert stop_request("", 0).grace_ms == 0


def test_what_to_prune() -> None:
    now_ns = 1_000_000 * 10**9
    found = [(each.key, each.value) for each in prune_filters(["until=10s", "label=a=b", "label!=c"], now_ns)]
    assert found == [("until", str(1_000_000_000 - 10_000)), ("label", "a=b"), ("label!", "c")]
    with pytest.raises(InvalidInput) as caught:
        prune_filters(["until=yesterday", "name=x", "label"], now_ns)
    assert len(caught.value.faults) == 3


def test_which_lines_of_a_log() -> None:
    now_ns = 100 * 10**9
    request = logs_request("db", since="10s", until="", tail="20", follow=True, now_ns=now_ns)
    assert (request.target, request.since_ns, request.until_ns, request.tail) == ("db", 90 * 10**9, 0, 20)
    for every in ("all", "-1"):
        assert not logs_request("db", since="", until="", tail=every, follow=False, now_ns=now_ns).HasField("tail")
    with pytest.raises(InvalidInput, match="--tail"):
        logs_request("db", since="", until="", tail="some", follow=False, now_ns=now_ns)
    with pytest.raises(InvalidInput, match="--until"):
        logs_request("db", since="", until="soon", tail="all", follow=False, now_ns=now_ns)


def test_names_at_once_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them wait for each other: one after another they would never end."""
    meeting = threading.Barrier(3, timeout=20)

    def act(name: str) -> str:
        meeting.wait()
        time.sleep(0.02 * (3 - int(name)))
        if name == "1":
            raise NotFound(f"{name} not found")
        return name

    outcome = for_each(["0", "1", "2"], act, at_once=3)
    assert (outcome.results, outcome.failed) == (("0", "2"), 1)
    assert "1 not found" in capsys.readouterr().err


def test_a_node_that_is_away_does_not_keep_the_others_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    def act(name: str) -> str:
        if name != "b":
            raise Unavailable("node h2 is down")
        return name

    with pytest.raises(Unavailable):
        for_each(["a", "b"], act)
    outcome = for_each(["a", "b", "c"], act, at_once=2)
    assert (outcome.results, outcome.failed) == (("b",), 2)
    assert capsys.readouterr().err.count("node h2 is down") == 1, "what all have in common is said once"


def test_the_names_that_it_was_done_to_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def act(name: str) -> None:
        if name == "b":
            raise NotFound("b not found")

    with pytest.raises(click.exceptions.Exit) as ended:
        print_each(["a", "b"], act)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().out == "a\n"


def test_an_interrupt_ends_the_process_whatever_its_threads_do() -> None:
    script = (
        "import threading; from cli.commands.common.for_each import print_each\n"
        "print('ready', flush=True)\n"
        "print_each(['a', 'b'], lambda name: threading.Event().wait(60))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
