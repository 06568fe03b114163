"""Processes of a playground, which are whatever runs in its containers."""

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from cli.playground import daemons
from cli.playground.daemons import is_running
from cli.playground.engine_server import accepts, engine_processes
from cli.playground.layout import Layout
from cli.playground.leftovers import leftovers
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from shoal.errors import Unavailable


def test_a_program_may_have_any_name(tmp_path: Path) -> None:
    program = tmp_path / os.fsdecode(b"b\xfcro")
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "1000"]) as running:
        assert is_running(running.pid)
        running.kill()
    assert not is_running(running.pid)


def test_a_part_that_has_ended_is_told_at_once_with_what_it_said(tmp_path: Path) -> None:
    layout = Layout(state_root=tmp_path, run_root=tmp_path)
    playground = Playground(layout, contexts=ContextStore(tmp_path / "config"), ready_seconds=3600)
    with subprocess.Popen(["/bin/true"]) as ended:
        ended.wait()
    layout.state.mkdir(parents=True)
    (layout.state / "pids.json").write_text(json.dumps({"h1": os.getpid(), "h2": ended.pid, "manager": ended.pid}))
    logs = {"h1": tmp_path / "h1.log", "h2": tmp_path / "h2.log"}
    logs["h2"].write_text("error: no room\n")
    with pytest.raises(Unavailable, match=r"h2 exited; end of .*h2\.log: error: no room"):
        playground.wait_until(lambda: False, "2 nodes", logs)


def test_every_engine_on_the_playgrounds_socket_is_found(tmp_path: Path) -> None:
    layout = Layout(state_root=tmp_path, run_root=tmp_path)
    program = tmp_path / "shoal-engine"
    program.write_text("#!/bin/sh\nread line\n")
    program.chmod(0o700)
    places = (layout.engine_socket, tmp_path / "other.sock")
    mine, other = (subprocess.Popen([program, "--socket", place], stdin=subprocess.PIPE) for place in places)
    with mine, other:
        assert engine_processes(layout) == [mine.pid]
        assert any(str(mine.pid) in each for each in leftovers(layout))
    assert not engine_processes(layout)


def test_a_daemon_without_a_namespace_is_in_that_of_this_process(tmp_path: Path) -> None:
    pid = daemons.spawn("", ["readlink", "/proc/self/ns/net"], tmp_path / "logs" / "out")
    os.waitpid(pid, 0)
    assert (tmp_path / "logs" / "out").read_text().strip() == str(Path("/proc/self/ns/net").readlink())


@pytest.mark.parametrize(("grace", "sent"), [(10.0, [signal.SIGTERM]), (0.0, [signal.SIGKILL])])
def test_one_that_is_killed_is_not_asked_before(
    grace: float, sent: list[signal.Signals], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would tell managers that it is stopping."""
    numbers: list[int] = []
    kill = os.kill

    def record(pid: int, number: int) -> None:
        numbers.append(number)
        kill(pid, number)

    running = subprocess.Popen(["/bin/sleep", "1000"])
    monkeypatch.setattr(os, "kill", record)
    daemons.stop([running.pid], grace_seconds=grace)
    assert [number for number in numbers if number] == sent
    running.wait()


def test_a_socket_accepts_once_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    assert not accepts(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not accepts(path)
        server.listen()
        assert accepts(path)
    assert not accepts(path)
