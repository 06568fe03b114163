"""Processes of a playground, which are whatever runs in its containers."""

import os
import shutil
import subprocess
from pathlib import Path

from cli.playground.daemons import alive


def test_a_program_may_have_any_name(tmp_path: Path) -> None:
    program = tmp_path / os.fsdecode(b"b\xfcro")
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "1000"]) as running:
        assert alive(running.pid)
        running.kill()
    assert not alive(running.pid)
