"""docs/operations.md as it is: each of its lines on machines that systemd runs, by the addresses that it names.

`make test` runs the same lines where programs are started by hand (tests/integration/operations).
"""

import subprocess
from collections.abc import Callable
from functools import partial

from tests.integration.operations.documented_cluster import DocumentedCluster, sections
from tests.integration.operations.documented_steps import DocumentedStep
from tests.vm.checking import Check
from tests.vm.machines import SOURCE, machine, power_on, prepare, print_journals

MACHINES = [machine(name, number) for number, name in enumerate(("m1", "m2", "m3", "m4", "h1"), 11)]
SECONDS = 1800.0


class Machines:
    """They, and the token that one of them displayed last."""

    def __init__(self) -> None:
        self._machines = {each.name: each for each in MACHINES}
        self._token = ""

    def run(self, host: str, command: str) -> "subprocess.CompletedProcess[str]":
        here = self._machines[host]
        if command == "poweroff":
            here.power_off()
            return subprocess.CompletedProcess(command, 0, "", "")
        done = here.shell(f"cd {SOURCE} && {command.replace('SHOAL-1-…', self._token)}")
        said = f"{done.stdout}{done.stderr}"
        self._token = next((word for word in said.split() if word.startswith("SHOAL-1-")), self._token)
        return subprocess.CompletedProcess(command, done.returncode, said, "")


def check_machines_start() -> None:
    prepare()
    for each in MACHINES:
        each.make()
        (each.root / "backup").mkdir()
    power_on(*MACHINES)


def _section(cluster: DocumentedCluster, steps: list[DocumentedStep]) -> None:
    for step in steps:
        cluster.run(step)


def _checks() -> tuple[Check, ...]:
    cluster = DocumentedCluster(Machines(), seconds=SECONDS)
    found: list[Callable[[], None]] = [check_machines_start]
    for section, steps in sections():
        check = partial(_section, cluster, steps)
        check.__name__ = section  # type: ignore[attr-defined]
        found.append(check)
    return tuple(found)


CHECKS = _checks()


def print_logs() -> None:
    print_journals(MACHINES)
