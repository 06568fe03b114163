"""Processes of a playground, which are whatever runs in its containers."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.playground.daemons import is_running
from cli.playground.layout import Layout
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
