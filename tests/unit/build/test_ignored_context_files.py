"""Dockerfile and .dockerignore of a context, where .dockerignore excludes them."""

from pathlib import Path

import pytest

from agent.build.program.sources.ignored_files import remove_ignored
from shoal.errors import InvalidInput


def names(directory: Path) -> list[str]:
    return sorted(str(each.relative_to(directory)) for each in directory.rglob("*") if not each.is_dir())


def context(directory: Path, ignored: str) -> Path:
    (directory / "sub").mkdir()
    for name in ("Dockerfile", "sub/Dockerfile", "other"):
        (directory / name).write_text("FROM scratch\n")
    (directory / ".dockerignore").write_text(ignored)
    return directory


@pytest.mark.parametrize(
    ("ignored", "dockerfile", "left"),
    [
        (".dockerignore\nDockerfile\n", "Dockerfile", ["other", "sub/Dockerfile"]),
        ("other\n", "Dockerfile", [".dockerignore", "Dockerfile", "other", "sub/Dockerfile"]),
        ("sub\n", "./sub/Dockerfile", [".dockerignore", "Dockerfile", "other"]),
        ("**\n!Dockerfile\n", "Dockerfile", ["Dockerfile", "other", "sub/Dockerfile"]),
        (".dockerignore\n", "/Dockerfile", ["Dockerfile", "other", "sub/Dockerfile"]),
    ],
)
def test_only_the_two_are_removed(tmp_path: Path, ignored: str, dockerfile: str, left: list[str]) -> None:
    remove_ignored(context(tmp_path, ignored), dockerfile)
    assert names(tmp_path) == left


def test_nothing_outside_of_the_context_is_removed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (tmp_path / "ctx").mkdir()
    made = context(tmp_path / "ctx", "**\n")
    (made / "link").symlink_to(tmp_path)
    remove_ignored(made, "link/outside")
    remove_ignored(made, "../outside")
    assert (tmp_path / "outside").exists()


def test_without_the_file_nothing_is_removed_and_bad_patterns_are_refused(tmp_path: Path) -> None:
    made = context(tmp_path, "[a\n")
    with pytest.raises(InvalidInput, match="dockerignore"):
        remove_ignored(made, "Dockerfile")
    (made / ".dockerignore").unlink()
    remove_ignored(made, "Dockerfile")
    assert names(made) == ["Dockerfile", "other", "sub/Dockerfile"]
