"""The check that the console's built pages are those of their sources."""

import re
import shutil
from pathlib import Path

import pytest

from console.feed.rows import TASK_FIELDS
from deploy import check_console

ROOT = Path(__file__).parents[3]
BUDGET_BYTES = 250 << 10
"""Compressed, of the first page."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of sources and of what was built."""
    for folder in (check_console.WEB / "src", check_console.BUILT):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name in (*check_console.SOURCES, "built.json"):
        shutil.copy(ROOT / check_console.WEB / name, tmp_path / check_console.WEB / name)
    return tmp_path


def test_what_is_committed_fits(tree: Path) -> None:
    assert check_console.problem(tree) == ""


def test_a_changed_source(tree: Path) -> None:
    (tree / check_console.WEB / "src" / "more.ts").write_text("export {};\n")
    assert "sources have changed" in check_console.problem(tree)
    check_console.main(tree, record=True)
    assert check_console.problem(tree) == ""


def test_a_changed_result(tree: Path) -> None:
    (tree / check_console.BUILT / "index.html").write_text("<script>alert(1)</script>")
    assert "is not what was built" in check_console.problem(tree)


def test_the_page_has_no_inline_script_and_nothing_from_elsewhere() -> None:
    page = (ROOT / check_console.BUILT / "index.html").read_text()
    assert re.findall(r"<script[^>]*>", page)
    assert not re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=|//", page)


def test_the_first_page_is_within_its_budget() -> None:
    import gzip

    files = [path for path in (ROOT / check_console.BUILT).rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) < BUDGET_BYTES


def test_pages_and_server_name_a_tasks_values_alike() -> None:
    text = (ROOT / check_console.WEB / "src/feed/rows.ts").read_text()
    listed = re.search(r"const \[([\w, ]+)\] = row;", text)
    assert listed is not None
    assert tuple(listed[1].split(", ")) == TASK_FIELDS
