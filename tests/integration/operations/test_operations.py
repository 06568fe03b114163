"""docs/operations.md: each of its lines does what the document shows."""

import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.integration.operations.documented_hosts import DocumentedHosts, documented_hosts
from tests.integration.operations.documented_steps import DocumentedStep, compare, documented_steps

DOCUMENT = Path(__file__).parents[3] / "docs/operations.md"
SECONDS = 40.0
"""Until the cluster is as shown: nodes come back, managers are seen to be down."""
SECTIONS = [
    (section, list(steps))
    for section, steps in groupby(documented_steps(DOCUMENT.read_text(encoding="utf-8")), lambda step: step.section)
]
READS = ("ls", "info", "ps", "status", "inspect", "doctor")


class DocumentedCluster:
    """The hosts, and what the document's IDs are on them."""

    def __init__(self, hosts: DocumentedHosts) -> None:
        self._hosts = hosts
        self._ids: dict[str, str] = {}

    def run(self, step: DocumentedStep) -> None:
        """Run a line; one that only reads is run until it shows what the document does."""
        command = step.command
        for shown, actual in self._ids.items():
            command = command.replace(shown, actual)
        may_wait = bool({*command.split()} & {*READS}) or step.fails
        deadline = time.monotonic() + SECONDS
        while (found := self._once(step, command)) is None:
            if not may_wait or time.monotonic() > deadline:
                pytest.fail(f"docs/operations.md:{step.line}: {step.command}\n{self._said}")
            time.sleep(0.3)
        self._ids |= found

    def _once(self, step: DocumentedStep, command: str) -> dict[str, str] | None:
        done = self._hosts.run(step.host, command)
        self._said = f"exit code {done.returncode}\n{done.stdout}"
        if bool(done.returncode) is not step.fails:
            return None
        return compare(done.stdout, step.output) if step.output else {}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedCluster]:
    with documented_hosts(tmp_path_factory.mktemp("docs")) as hosts:
        yield DocumentedCluster(hosts)


@pytest.mark.parametrize("steps", [steps for _, steps in SECTIONS], ids=[section for section, _ in SECTIONS])
def test_section(cluster: DocumentedCluster, steps: list[DocumentedStep]) -> None:
    """Sections follow one another, as in the document."""
    for step in steps:
        cluster.run(step)
