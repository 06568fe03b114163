"""Compiled filters that cannot be kept are no reason not to start."""

import logging
from pathlib import Path

import pytest

from agent.runtime.confinement.compiled_filters import CompiledFilters


def test_a_disk_that_takes_none_leaves_nothing_half_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "t").mkdir()
    compiled = tmp_path / "t" / "seccomp.bpf"
    compiled.write_bytes(bytes(16))
    kept = tmp_path / "kept"
    filters = CompiledFilters(directory=kept, environment="")
    filters.save("key", compiled)  # the directory is not there: as a full disk, it takes nothing
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    kept.mkdir()
    filters.save("key", compiled)
    assert [path.name for path in kept.iterdir()] == ["key"]
