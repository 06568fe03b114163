"""Attaching to a container whose conmon does not accept: nobody else waits for it."""

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest

from agent.runtime.exec.attach_session import AttachSession, AttachSessions
from shoal.errors import Exhausted


def test_a_conmon_that_does_not_accept_stops_nobody(tmp_path: Path) -> None:
    bundle = tmp_path / "t"
    bundle.mkdir()
    bundle.joinpath("config.json").write_text(json.dumps({"process": {"terminal": False}}))
    refused: list[str] = []

    async def code() -> int:
        return 0

    async def attach_many() -> None:
        sessions, opened = AttachSessions(), list[AttachSession]()
        try:
            for _ in range(4):
                opened.append(sessions.attach(bundle, code=code, send=lambda _: None))
        finally:
            await asyncio.gather(*(each.close() for each in opened))

    def run() -> None:
        with pytest.raises(Exhausted) as raised:
            asyncio.run(attach_many())
        refused.append(str(raised.value))

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as conmon:
        conmon.bind(str(bundle / "attach"))
        conmon.listen(1)
        attaching = threading.Thread(target=run, daemon=True)
        attaching.start()
        attaching.join(10)
        assert not attaching.is_alive(), "it waits for conmon"
    assert refused == ["the supervisor (conmon) of task t accepts no sessions now; try again"]
