"""What paths of COPY mean: wildcards, links, exclusions, and that nothing leads out of the source."""

import os
from pathlib import Path

import pytest

from agent.build.program.copying.copy_sources import CopySource, find_sources, walk
from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.errors import NotFound


@pytest.fixture
def root(tmp_path: Path) -> int:
    for path in ("a/b/c.txt", "a/b/d.md", "a/e.txt", "top.txt", "[odd].txt", "secret/key"):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(path)
    (tmp_path / "outside").write_text("outside")
    (tmp_path / "root/out").symlink_to("../outside")
    (tmp_path / "root/in").symlink_to("/a/b")
    return os.open(tmp_path / "root", os.O_PATH)


def found(root: int, *paths: str, parents: bool = False) -> list[str]:
    return [f"{each.path}>{each.name}" for each in find_sources(root, paths, parents=parents)]


def walked(root: int, path: str, *excludes: str) -> list[str]:
    return [each.path for each in walk(root, path, PatternMatcher(excludes) if excludes else None)]


def test_paths_and_wildcards(root: int) -> None:
    assert found(root, "top.txt", "/a/../a/e.txt") == ["top.txt>top.txt", "a/e.txt>e.txt"]
    assert found(root, "*.txt") == ["[odd].txt>[odd].txt", "top.txt>top.txt"]
    assert found(root, "a/*/*.txt") == ["a/b/c.txt>c.txt"]
    assert found(root, "**/*.txt") == ["[odd].txt>[odd].txt", "a/b/c.txt>c.txt", "a/e.txt>e.txt", "top.txt>top.txt"]
    assert found(root, "[[]odd].txt") == ["[odd].txt>[odd].txt"]
    assert found(root, ".") == [">"]


def test_names_with_parents(root: int) -> None:
    assert found(root, "a/b/c.txt", parents=True) == ["a/b/c.txt>a/b/c.txt"]
    assert found(root, "a/./b/*.txt", parents=True) == ["a/b/c.txt>b/c.txt"]


@pytest.mark.parametrize("path", ["missing", "a/missing", "top.txt/x", "*.none", "out", "../outside"])
def test_what_is_not_there_or_outside(root: int, path: str) -> None:
    with pytest.raises(NotFound):
        found(root, path)


def test_a_walk_is_in_order_and_follows_a_link_at_its_top_alone(root: int) -> None:
    assert walked(root, "a") == ["", "b", "b/c.txt", "b/d.md", "e.txt"]
    assert walked(root, "in") == ["", "c.txt", "d.md"]
    assert walked(root, "top.txt") == [""]


def test_exclusions(root: int) -> None:
    assert walked(root, "a", "*.txt") == ["", "b", "b/c.txt", "b/d.md"]
    assert walked(root, "a", "**/*.txt") == ["", "b", "b/d.md"]
    assert walked(root, "a", "b") == ["", "e.txt"]
    assert walked(root, "a", "b", "!b/c.txt") == ["", "b/c.txt", "e.txt"]


def test_a_source_is_a_value() -> None:
    assert CopySource("a", "b") == CopySource("a", "b")
