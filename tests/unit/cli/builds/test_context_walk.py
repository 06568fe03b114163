"""Which files of a directory are a context: their order, links, and what is left out."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.builds.context_walk import ContextFile, ContextWalk
from shoal.dockerfile.ignore_patterns import PatternMatcher, read_patterns
from shoal.errors import InvalidInput


def files(directory: Path, ignored: str = "") -> dict[str, ContextFile]:
    return {each.name: each for each in ContextWalk(directory, read_patterns(ignored)).files()}


def names(directory: Path, ignored: str = "") -> list[str]:
    return list(files(directory, ignored))


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(os.fsencode(path))


def test_entries_are_sorted_with_their_links(tmp_path: Path) -> None:
    make(tmp_path, "b/z", "b/a", "a", "c")
    (tmp_path / "link").symlink_to("b/a")
    os.link(tmp_path / "a", tmp_path / "b" / "hard")
    os.mkfifo(tmp_path / "pipe")
    found = files(tmp_path)
    assert list(found) == ["a", "b", "b/a", "b/hard", "b/z", "c", "link", "pipe"]
    assert found["link"].link_target == "b/a" and not found["a"].link_target
    assert (found["b/hard"].hard_link_to, found["a"].hard_link_to) == ("a", "")


def test_names_that_are_long_or_no_ascii(tmp_path: Path) -> None:
    long = "/".join(["d" * 90] * 4)
    odd = os.fsdecode(b"bad\xff")
    make(tmp_path, f"{long}/file", "été", odd)
    assert {f"{long}/file", "été", odd} <= set(names(tmp_path))


def test_what_is_ignored_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, ".git/a", "node_modules/x/y", "src/a.py", "src/a.pyc", "README.md", "docs/b.md")
    ignored = ".git\nnode_modules\n**/*.pyc\n*.md\n!README.md\n"
    assert names(tmp_path, ignored) == ["README.md", "docs", "docs/b.md", "src", "src/a.py"]


def test_what_is_taken_back_in_has_its_directories(tmp_path: Path) -> None:
    make(tmp_path, "out/bin/app", "out/bin/tool", "out/log", "out/deep/er/keep", "src/x")
    (tmp_path / "out").chmod(0o711)
    ignored = "*\n!out/bin/app\n!out/**/keep\n"
    assert names(tmp_path, ignored) == ["out", "out/bin", "out/bin/app", "out/deep", "out/deep/er", "out/deep/er/keep"]
    assert files(tmp_path, ignored)["out"].status.st_mode & 0o7777 == 0o711


def test_directories_that_are_left_out_whole_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "left/out/x", "kept/x")
    listed: list[str] = []
    scandir = os.scandir

    def noted(path: str) -> object:
        listed.append(os.path.relpath(path, tmp_path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert names(tmp_path, "left\n!kept/y\n") == ["kept", "kept/x"]
    assert listed == [".", "kept"]


def test_bad_patterns_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        ContextWalk(tmp_path, ["[a"])


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "ab", "*", "**", "a*"]), min_size=1, max_size=3).map("/".join), max_size=5
    ),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_skipping_directories_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str], negated: list[bool]
) -> None:
    root = tmp_path_factory.getbasetemp() / "tree"
    if not root.exists():
        make(root, *(f"{x}/{y}/{z}" for x in ("a", "b", "ab") for y in ("a", "b") for z in ("a", "ab", "c")))
    marked = [f"!{each}" if sign else each for each, sign in zip(patterns, negated, strict=False)]
    matcher = PatternMatcher(marked)
    expected = {
        str(path.relative_to(root)) for path in root.rglob("*") if not matcher.excludes(str(path.relative_to(root)))
    }
    with_parents = {str(above) for path in expected for above in [Path(path), *Path(path).parents]} - {"."}
    assert set(names(root, "\n".join(marked))) == with_parents
