"""The cluster of a document for operators: runs its lines, and compares what they print."""

import subprocess
import time
from itertools import groupby
from pathlib import Path
from typing import Protocol

from tests.integration.operations.documented_steps import DocumentedStep, compare, documented_steps

DOCUMENT = Path(__file__).parents[3] / "docs/operations.md"
READS = ("ls", "info", "ps", "status", "inspect", "doctor")


class Hosts(Protocol):
    """Those that the document names."""

    def run(self, host: str, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a line on one of them; what it printed is all in `stdout`, with the document's addresses."""
        ...


class DocumentedCluster:
    """The hosts, and what the document's IDs are on them.

    Args:
        seconds: until the cluster is as shown: nodes come back, managers are seen to be down.
    """

    def __init__(self, hosts: Hosts, *, seconds: float) -> None:
        self._hosts = hosts
        self._seconds = seconds
        self._ids: dict[str, str] = {}

    def run(self, step: DocumentedStep) -> None:
        """Run a line; one that only reads is run until it shows what the document does.

        Raises:
            AssertionError: it does not; with what it printed.
        """
        command = step.command
        for shown, actual in self._ids.items():
            command = command.replace(shown, actual)
        may_wait = bool({*command.split()} & {*READS}) or step.fails
        deadline = time.monotonic() + self._seconds
        while (found := self._once(step, command)) is None:
            if not may_wait or time.monotonic() > deadline:
                raise AssertionError(f"docs/operations.md:{step.line}: {step.command}\n{self._said}")
            time.sleep(0.3)
        self._ids |= found

    def _once(self, step: DocumentedStep, command: str) -> dict[str, str] | None:
        done = self._hosts.run(step.host, command)
        self._said = f"exit code {done.returncode}\n{done.stdout}"
        if bool(done.returncode) is not step.fails:
            return None
        return compare(done.stdout, step.output) if step.output else {}


def sections() -> list[tuple[str, list[DocumentedStep]]]:
    """The document's, each with its steps, from the top: each goes on where the one before ended."""
    steps = documented_steps(DOCUMENT.read_text(encoding="utf-8"))
    return [(section, list(these)) for section, these in groupby(steps, lambda step: step.section)]
