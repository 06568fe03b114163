"""Clients that ask without end while the cluster changes: by its nodes, and inside it by a service's name."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.integration.cluster.debian_files import PYTHON
from tests.integration.cluster.web_image import CLIENT

_CLIENT = Path(__file__).with_name("traffic_client.py")


def from_outside(addresses: Sequence[str], *, fresh: int, kept: int) -> list[str]:
    """The command of clients on this machine, who ask addresses ("host:port") in turn."""
    return [sys.executable, str(_CLIENT), str(fresh), str(kept), *addresses]


def from_container(pid: int, address: str, *, fresh: int, kept: int) -> list[str]:
    """The command of clients in the container that a process is in; its image is that of `web_image`."""
    enter = ["nsenter", f"--target={pid}", "--mount", "--net", "--root", "--wd"]
    return [*enter, PYTHON, CLIENT, str(fresh), str(kept), address]


class Traffic:
    """What all clients reported so far.

    Attributes:
        counts: requests that had the whole answer, by where from and by kind: `fresh`, and of connections that are kept
            `kept, new` and `kept, used`.
        losses: why each of the others had not.
        pages: what was answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: dict[str, Counter[str]] = {}
        self.losses: list[str] = []
        self.pages: set[str] = set()

    @property
    def answered(self) -> int:
        with self._lock:
            return sum(sum(counts.values()) for counts in self.counts.values())

    @contextmanager
    def running(self, **clients: Sequence[str]) -> Iterator["Traffic"]:
        """Run these commands until the end of the block; their names distinguish them."""
        processes = {name: _started(command) for name, command in clients.items()}
        readers = [threading.Thread(target=self._read, args=each) for each in processes.items()]
        for reader in readers:
            reader.start()
        try:
            yield self
        finally:
            for process in processes.values():
                assert process.stdin is not None
                process.stdin.close()
            for reader in readers:
                reader.join()
            codes = {name: _ended(process) for name, process in processes.items()}
        assert not any(codes.values()), f"clients failed: {codes}"

    def until(self, answered: int, seconds: float = 60.0) -> None:
        """Wait until so many requests have been answered in all."""
        deadline = time.monotonic() + seconds
        while self.answered < answered and time.monotonic() < deadline:
            time.sleep(0.01)

    def _read(self, name: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            report = json.loads(line)
            with self._lock:
                self.counts.setdefault(name, Counter()).update(report["counts"])
                self.losses += (f"{name}: {why}" for why in report["lost"])
                self.pages.update(report["pages"])


def _started(command: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ended(process: "subprocess.Popen[str]") -> int:
    with process:  # which closes its pipes
        return process.wait()
