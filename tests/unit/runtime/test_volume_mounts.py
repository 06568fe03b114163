"""Mounting the file system of a server that does not answer."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agent.runtime.rootfs import volume_mounts
from agent.runtime.rootfs.volume_mounts import mount_volumes
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image, ImageConfig, MountSource
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import LogConfig
from shoal.errors import Unavailable

MOUNT = """#!/bin/sh
sleep 1000 &
echo $! >"$HELPER"
wait
"""
"""Stands in for mount(8), which waits for its helper."""


def is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_its_helper_does_not_wait_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, helper = tmp_path / "bin" / "mount", tmp_path / "helper"
    program.parent.mkdir()
    program.write_text(MOUNT)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HELPER", str(helper))
    monkeypatch.setattr(volume_mounts, "MOUNT_SECONDS", 2.0)
    spec = ContainerSpec(mounts=[Mount(type=Mount.VOLUME, source="v", target="/data")])
    options = {"type": "nfs", "device": "server:/data"}
    volumes = {"/data": MountSource(data=tmp_path, options=options, subpath="", populate=False)}
    image, limits = Image("x:1", "", ImageConfig(), ()), Resources()
    request = ContainerRequest("t", "t", spec, limits, LogConfig(), image, None, {}, volumes=volumes)
    with pytest.raises(Unavailable, match="mounting server:/data timed out after 2 s"):
        mount_volumes(tmp_path / "points", tmp_path / "root", request)
    pid, deadline = int(helper.read_text()), time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)
