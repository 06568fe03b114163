"""The check that the console's built pages are those of their sources."""

import gzip
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from console.feed.rows import TASK_FIELDS
from deploy import check_console
from shoal.node_states import NODE_STATES

ROOT = Path(__file__).parents[3]
BUDGET_BYTES = 250 << 10
"""Compressed, of the first page, whichever it is."""
COMMON_BYTES, OTHER_BYTES = 32 << 10, 32 << 10
"""Compressed, of what every page loads, which is the overview; and of what all others load."""


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
    """Whichever it is: what all of them load is small, and with one part that is loaded later within the budget too."""
    files = {path.name: path.read_bytes() for path in (ROOT / check_console.BUILT).rglob("*") if path.is_file()}
    named = set(re.findall(r"/assets/([\w.-]+)", files["index.html"].decode()))
    assert named < set(files)
    common = sum(map(size, (files["index.html"], *map(files.__getitem__, named))))
    assert common < COMMON_BYTES
    parts = Counter[str]()
    for name in set(files) - named - {"index.html", "licences.txt"}:
        parts[re.sub(r"-.{8}\.\w+$", "", name)] += size(files[name])  # "terminal-Ju14E6Kh.js" and its style sheet
    assert set(parts) == {"other-pages", "terminal", "yaml-editor"}
    other = parts.pop("other-pages")
    assert other < OTHER_BYTES
    assert common + other + max(parts.values()) < BUDGET_BYTES


def test_no_script_of_the_overview_waits_for_another_to_be_found() -> None:
    """The document names all that they import, and the one that the first script loads as well."""
    built = ROOT / check_console.BUILT
    named = set(re.findall(r"/assets/([\w.-]+)", (built / "index.html").read_text()))
    texts = {each: (built / "assets" / each).read_text() for each in named if each.endswith(".js")}
    imported = {each for text in texts.values() for each in re.findall(r'\bfrom\s*"\./([^"]+)"', text)}
    main = [name for text in texts.values() for name in re.findall(r"import\(`\./(main-[^`]+)`\)", text)]
    assert len(main) == 1
    assert imported | set(main) <= named


def size(content: bytes) -> int:
    return len(gzip.compress(content, 9))


def test_pages_and_server_name_a_tasks_values_alike() -> None:
    text = (ROOT / check_console.WEB / "src/feed/rows.ts").read_text()
    listed = re.search(r"const \[([\w, ]+)\] = row;", text)
    assert listed is not None
    assert tuple(listed[1].split(", ")) == TASK_FIELDS


def test_pages_and_server_name_the_states_of_nodes_alike() -> None:
    text = (ROOT / check_console.WEB / "src/feed/rows.ts").read_text()
    listed = re.search(r"type NodeState = ([^;]+);", text)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == set(NODE_STATES)
