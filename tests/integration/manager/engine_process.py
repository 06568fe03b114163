"""A real engine in a subprocess, and requests to it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.contexts.context_store import ContextStore
from shoal.identity.identity import Identity
from tests.contract.engine.rig.raw_http import request

START_SECONDS = 60.0


@dataclass
class EngineProcess:
    """`shoal-engine` on a Unix socket; may be started again after it ended.

    Args:
        directory: for its socket, context and log.
        more: options.
    """

    directory: Path
    more: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.directory / "engine.sock"

    @property
    def log(self) -> str:
        return (self.directory / "engine.log").read_text()

    def create_context(self, identity: Identity, managers: Sequence[str]) -> None:
        """The only one, which it will use."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ContextStore(self.directory / "contexts").create("default", identity, managers)

    def start(self) -> None:
        command = [sys.executable, "-m", "engine.main", "--socket", str(self.socket), *self.more]
        environment = {**os.environ, "SHOAL_CONFIG": str(self.directory / "contexts")}
        with (self.directory / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def _accepts(self) -> bool:
        try:
            return self.send("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def send(self, method: str, target: str, body: object = None) -> tuple[int, Any]:
        """Status and document of an answer; of an empty one None."""
        content = b"" if body is None else json.dumps(body).encode()
        status, headers, answer = request(self.socket, method, target, body=content)
        return status, json.loads(answer) if headers.get("content-type") == "application/json" else None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
