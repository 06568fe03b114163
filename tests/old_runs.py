"""The directories that earlier runs of pytest have left, deleted before pytest looks at them.

Tests make trees that are deeper than Python's functions which call themselves can follow. pytest deletes what runs
before the last three have left at the end of each run, meets such a tree there, and fails the run, and every later one.
"""

import getpass
import os
import re
import subprocess
import tempfile
from pathlib import Path

KEPT = 3
"""As many runs as pytest keeps (`tmp_path_retention_count`)."""


def directory() -> Path:
    """Where pytest has the directories of runs, by its documentation of `tmp_path`."""
    return Path(os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir()) / f"pytest-of-{getpass.getuser()}"


def delete_old_runs(root: Path) -> None:
    """Delete all but the last runs and those that go on (they hold a lock), by a program that follows any depth."""
    numbers = {
        int(found[1]): path for path in root.glob("pytest-*") if (found := re.fullmatch(r"pytest-(\d+)", path.name))
    }
    newest = max(numbers, default=0)
    old = [path for number, path in numbers.items() if number <= newest - KEPT and not (path / ".lock").exists()]
    # Another run may be deleting the same ones.
    subprocess.run(["rm", "-rf", "--", *old, *root.glob("garbage-*")], check=False, capture_output=True)
