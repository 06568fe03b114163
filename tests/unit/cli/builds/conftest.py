"""A manager that is none, with a builder, and a small context."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.unit.cli.builds.builds_rig import Builder, builds_rig
from tests.unit.cli.exec.exec_rig import Rig


@pytest.fixture
def rigs(tmp_path: Path) -> Generator[tuple[Rig, Builder]]:
    with builds_rig(tmp_path / "config") as made:
        yield made


@pytest.fixture
def context(tmp_path: Path) -> Path:
    made = tmp_path / "ctx"
    made.mkdir()
    (made / "Dockerfile").write_text("FROM alpine\nRUN make\n")
    (made / "f").write_text("f\n")
    (made / "skip").write_text("skip\n")
    (made / ".dockerignore").write_text("skip\n.dockerignore\nDockerfile\n")
    return made
