"""Compose files on a disk, and what is read of them."""

from pathlib import Path
from typing import Any

import pytest

from shoal.compose.load import LoadedStack, load_files
from shoal.compose.reading.yaml_tree import to_plain
from shoal.errors import InvalidInput


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_yaml", ".yaml").replace("_env", ".env")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def loaded(directory: Path, *names: str, profiles: tuple[str, ...] = (), **variables: str) -> LoadedStack:
    paths = [directory / name for name in names or ("a.yaml",)]
    return load_files("shop", paths, variables, profiles=profiles).checked()


def services(directory: Path, *names: str, profiles: tuple[str, ...] = (), **variables: str) -> Any:
    return to_plain(loaded(directory, *names, profiles=profiles, **variables).model.tree["services"])


def faults(directory: Path, *names: str, profiles: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        loaded(directory, *names, profiles=profiles)
    return [str(fault).replace(f"{directory}/", "") for fault in caught.value.faults]
