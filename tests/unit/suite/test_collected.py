"""That pytest looks into every directory with tests."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_no_directory_with_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    """By its name: `build` is among those that pytest leaves out unless it is told otherwise."""
    left_out: list[str] = pytestconfig.getini("norecursedirs")
    modules = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(modules) > 500
    assert not [
        str(path) for path in modules if any(fnmatch(part, each) for part in path.parent.parts for each in left_out)
    ]
