"""Somebody who writes rows into PostgreSQL and remembers which were acknowledged; and who counts servers meanwhile."""

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.integration.cluster.postgres_image import home

ROWS = "CREATE TABLE IF NOT EXISTS rows (number bigint PRIMARY KEY)"
_PAUSE_SECONDS = 0.02


class Writer:
    """Writes rows from outside the cluster, through any node.

    Args:
        addresses: of nodes.
        mark: what the environment of the servers has, to distinguish them from others of this machine.
    """

    def __init__(self, addresses: Sequence[str], port: int, mark: str) -> None:
        self._addresses = itertools.cycle(addresses)
        self._port = port
        self._mark = mark.encode()
        self.acknowledged: list[int] = []
        self.max_concurrent = 0
        self.looks = 0
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Writer"]:
        """Both in threads of their own."""
        threads = [threading.Thread(target=each) for each in (self._write, self._watch)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def await_rows(self, more: int, seconds: float = 60.0) -> None:
        """Until so many further rows are acknowledged."""
        expected, deadline = len(self.acknowledged) + more, time.monotonic() + seconds
        while len(self.acknowledged) < expected:
            assert time.monotonic() < deadline, f"{len(self.acknowledged)} of {expected} rows after {seconds} s"
            self._over.wait(_PAUSE_SECONDS)

    def lost(self) -> set[int]:
        """Rows acknowledged before this asks that are not there: others are written meanwhile."""
        acknowledged = set(self.acknowledged)
        deadline = time.monotonic() + 60
        while (found := self._ask("SELECT number FROM rows")) is None:
            assert time.monotonic() < deadline, "no response from the server"
        return acknowledged - set(map(int, found.split()))

    def servers(self) -> list[int]:
        """Process ids of the servers that run now."""
        found = []
        for path in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if path.name.isdigit() and (path / "comm").read_text() == "postgres\n" and self._is_ours(path):
                    parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    if Path(f"/proc/{parent}/comm").read_text() != "postgres\n":
                        found.append(int(path.name))
        return found

    def _is_ours(self, path: Path) -> bool:
        return self._mark in (path / "environ").read_bytes()

    def _write(self) -> None:
        is_up = False
        for number in itertools.count():
            if self._over.is_set():
                return
            is_up = is_up or self._ask(ROWS) is not None
            if is_up and self._ask(f"INSERT INTO rows VALUES ({number}) RETURNING number") == f"{number}":
                self.acknowledged.append(number)
            else:
                is_up = False

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE_SECONDS):
            self.max_concurrent = max(self.max_concurrent, len(self.servers()))
            self.looks += 1

    def _ask(self, statement: str) -> str | None:
        """The answer, or None when there was none."""
        command = [str(home() / "bin/psql"), "-X", "-q", "-A", "-t", "-U", "postgres", "-h", next(self._addresses)]
        environment = {**os.environ, "PGCONNECT_TIMEOUT": "2"}
        try:
            done = subprocess.run(
                [*command, "-p", str(self._port), "-c", statement],
                capture_output=True,
                text=True,
                timeout=5,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.strip() if done.returncode == 0 else None
