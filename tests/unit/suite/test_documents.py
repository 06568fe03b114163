"""The documents name files that exist."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("agent", "cli", "console", "deploy", "docs", "engine", "manager", "proto", "shoal", "tests")
WITHOUT = {"docs/nomenclature.md"}  # it lists earlier names

_CODE_SPAN = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"(?:\.\./)*[\w/.-]+\.(?:py|proto|md)")


def files_below_folders() -> Iterator[Path]:
    """What documents may name, without what npm has installed."""
    for folder in FOLDERS:
        for directory, folders, files in os.walk(ROOT / folder):
            folders[:] = [each for each in folders if each != "node_modules"]
            yield from (Path(directory, each) for each in files if Path(each).suffix in (".py", ".proto", ".md"))


def documents() -> list[str]:
    found = [*ROOT.glob("*.md"), *(file for file in files_below_folders() if file.suffix == ".md")]
    return sorted({file.relative_to(ROOT).as_posix() for file in found} - WITHOUT)


FILES = {file.relative_to(ROOT).as_posix() for file in files_below_folders()} | {
    file.name for file in ROOT.glob("*.md")
}


def named_files(document: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate((ROOT / document).read_text(encoding="utf-8").splitlines(), 1):
        for span in _CODE_SPAN.findall(line):
            path = span.partition("::")[0]
            if _FILE.fullmatch(path):
                yield number, path.replace("../", "")


@pytest.mark.parametrize("document", documents())
def test_files_that_a_document_names_exist(document: str) -> None:
    """From the root, or from anywhere below it: a README of a package leaves out what leads to it."""
    missing = [
        f"{document}:{number}: {path}"
        for number, path in named_files(document)
        if path not in FILES and not any(file.endswith(f"/{path}") for file in FILES)
    ]
    assert missing == []
