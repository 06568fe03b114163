"""A run of the tests ends well though earlier ones have left trees that pytest itself cannot delete."""

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.deep_tree import deep_tree
from tests.old_runs import delete_old_runs


def test_all_but_the_last_runs_and_those_that_go_on_are_deleted(tmp_path: Path) -> None:
    for number in range(1, 8):
        (tmp_path / f"pytest-{number}").mkdir()
    (tmp_path / "pytest-2" / ".lock").touch()
    (tmp_path / "pytest-current").symlink_to(tmp_path / "pytest-7")
    (tmp_path / "garbage-1" / "of").mkdir(parents=True)
    delete_old_runs(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"pytest-{number}" for number in (2, 5, 6, 7, "current")}
    delete_old_runs(tmp_path / "absent")


@pytest.mark.parametrize("name", ["pytest-1", "garbage-1"])
def test_a_run_after_one_with_a_deep_tree_ends_with_0(tmp_path: Path, name: str) -> None:
    runs = tmp_path / f"pytest-of-{getpass.getuser()}"
    runs.mkdir(mode=0o700)
    for number in range(2, 5):
        (runs / f"pytest-{number}").mkdir(mode=0o700)
    (runs / name).mkdir(mode=0o700)
    with deep_tree(runs / name / "deep") as deep:
        root = Path(__file__).parents[3]
        test = "tests/unit/suite/test_old_runs.py::test_all_but_the_last_runs_and_those_that_go_on_are_deleted"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
            cwd=root,
            env=os.environ | {"PYTEST_DEBUG_TEMPROOT": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not deep.exists()
