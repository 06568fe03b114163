"""The clients' processes, started again when their container is gone, and what they have told."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.checks.traffic import ClientReport, LostRequest

_CLIENT = Path(__file__).with_name("request_client.py")
Command = Callable[[], Sequence[str]]
_LOOK_SECONDS = 1.0


def by_mesh(addresses: Sequence[str]) -> Sequence[str]:
    """A client on this machine that asks these addresses."""
    return [sys.executable, "-I", "-S", str(_CLIENT), *addresses]


def by_name(pid: int, name: str, server: str, port: int) -> Sequence[str]:
    """A client in the network namespace of a container, with its name server.

    Args:
        pid: of a process of the container.
    """
    own = [sys.executable, "-I", "-S", str(_CLIENT), "--name", name, server, str(port)]
    return ["nsenter", f"--target={pid}", "--net", *own]


class RequestClient:
    """Threads that keep a client running and read it.

    Attributes:
        reports: what it said, by second.

    Args:
        command: of a client as it is to run now; empty: it cannot run now. One that runs by another command, since its
            container is another one, is ended.
    """

    def __init__(self, name: str, command: Command) -> None:
        self.name = name
        self.reports: list[ClientReport] = []
        self._command = command
        self._stopping = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._running: Sequence[str] = ()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._run, self._look)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._close()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            if self._running and self._command() != self._running:
                self._close()

    def _close(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.closed:
            process.stdin.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            command = self._command()
            if not command:
                self._stopping.wait(0.5)
                continue
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as process:
                self._process, self._running = process, command
                if self._stopping.is_set():
                    self._close()
                assert process.stdout is not None
                for line in process.stdout:
                    self._take(json.loads(line))
            self._running = ()
            self._stopping.wait(0.5)

    def _take(self, said: dict[str, object]) -> None:
        lost = tuple(LostRequest(*each) for each in said["lost"])  # type: ignore[attr-defined]
        self.reports.append(ClientReport(float(said["at"]), dict(said["answered"]), lost, dict(said["gaps"])))  # type: ignore[arg-type, call-overload]
