"""While etcd is waited for, systemd is told that the start takes longer: it may read or copy a large database."""

import asyncio
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from manager.etcd import server
from manager.etcd.client import Etcd
from shoal.errors import Unavailable


class SlowEtcd:
    """Responds at the third attempt."""

    attempts = 0

    async def read(self, keys: list[bytes]) -> None:
        self.attempts += 1
        if self.attempts < 3:
            raise Unavailable("it reads its log")

    async def version(self) -> str:
        return "3.5.26"


def test_each_attempt_extends_the_time_for_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        etcd: Any = SlowEtcd()
        assert asyncio.run(server.first_answer(cast(Etcd, etcd))) == "3.5.26"
        received = [systemd.recv(100) for _ in range(3)]
        assert received == [b"EXTEND_TIMEOUT_USEC=60000000"] * 3
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
