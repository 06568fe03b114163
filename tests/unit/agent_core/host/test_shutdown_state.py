"""What systemd says of a shutdown."""

import asyncio
from pathlib import Path

import pytest

from agent.host.shutdown_state import host_is_stopping


@pytest.mark.parametrize(
    ("script", "stopping"),
    [
        ('test "$*" = is-system-running && echo stopping && exit 1', True),
        ("echo running", False),
        ("echo degraded; exit 1", False),
        ("exit 1", False),
        ("exec sleep 60", False),
    ],
)
def test_only_its_word_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, stopping: bool) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert asyncio.run(host_is_stopping(tmp_path)) is stopping


def test_without_systemd_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not asyncio.run(host_is_stopping(tmp_path / "absent"))
    assert not asyncio.run(host_is_stopping(tmp_path)), "and not where there is no systemctl"
