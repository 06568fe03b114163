"""The clients' processes, started again when their container is gone, and what they have told."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.checks.traffic import ClientReport, LostRequest

_CLIENT = Path(__file__).with_name("request_client.py")
Command = Callable[[], Sequence[str]]


def by_mesh(addresses: Sequence[str]) -> Command:
    """A client on this machine that asks these addresses."""
    return lambda: [sys.executable, "-I", "-S", str(_CLIENT), *addresses]


def by_name(pid_of_container: Callable[[], int], name: str, server: str, port: int) -> Command:
    """A client in the network namespace of a container, with its name server."""

    def command() -> Sequence[str]:
        pid = pid_of_container()
        if not pid:
            return ()
        own = [sys.executable, "-I", "-S", str(_CLIENT), "--name", name, server, str(port)]
        return ["nsenter", f"--target={pid}", "--net", *own]

    return command


class RequestClient:
    """A thread that keeps a client running and reads it.

    Attributes:
        reports: what it said, by second.

    Args:
        command: of the next start; empty: it cannot be started now.
    """

    def __init__(self, name: str, command: Command) -> None:
        self.name = name
        self.reports: list[ClientReport] = []
        self._command = command
        self._stopping = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def restart(self) -> None:
        """Where its container is another one now."""
        self._close()

    def stop(self) -> None:
        self._stopping.set()
        self._close()
        self._thread.join()

    def _close(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.closed:
            process.stdin.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            command = self._command()
            if not command:
                time.sleep(0.5)
                continue
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as process:
                self._process = process
                if self._stopping.is_set():
                    self._close()
                assert process.stdout is not None
                for line in process.stdout:
                    self._take(json.loads(line))
            self._stopping.wait(0.5)

    def _take(self, said: dict[str, object]) -> None:
        lost = tuple(LostRequest(*each) for each in said["lost"])  # type: ignore[attr-defined]
        self.reports.append(ClientReport(float(said["at"]), dict(said["answered"]), lost, dict(said["gaps"])))  # type: ignore[arg-type, call-overload]
