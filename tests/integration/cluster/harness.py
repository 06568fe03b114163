"""A cluster as a user has it: the command line, its output, and a look into containers."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.playground.layout import Layout, PlaygroundHost
from cli.playground.lifecycle import Playground

SHOAL = Path(sys.executable).parent / "shoal"
DEADLINE_SECONDS = 60.0
COMMAND_SECONDS = 180.0
RUN_ROOT = Path("/run/shoal-tests")
"""Of all playgrounds of tests: paths of sockets are short, and those of a test's directory need not be."""
_ONE_AT_A_TIME = threading.Lock()
"""Commands in this process: each has the standard streams for itself."""


@dataclass(frozen=True)
class Cluster:
    """A playground and the command line that talks to it."""

    playground: Playground
    config: Path

    @property
    def layout(self) -> Layout:
        return self.playground.layout

    def run(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """`shoal …`, whatever its exit code."""
        # What is watched after it runs has tests of its own (`test_verification`), which say for how long.
        environment = {**os.environ, "SHOAL_CONFIG": str(self.config), "SHOAL_VERIFY": "0"}
        try:
            return subprocess.run(
                [SHOAL, *arguments],
                capture_output=True,
                text=True,
                env=environment,
                timeout=COMMAND_SECONDS,
                input=text,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"") + (late.stderr or b"")
            pytest.fail(f"shoal {' '.join(arguments)}: no end. It said: {said.decode()}{self.logs()}")

    def shoal(self, *arguments: str) -> str:
        """`shoal …`, which has to succeed; its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"shoal {' '.join(arguments)}: {done.stderr}{self.logs()}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The same with `--format json`, parsed, as `quick`."""
        return json.loads(self.quick(*arguments, "--format", "json"))

    def quick(self, *arguments: str) -> str:
        """As `shoal`, of a command that runs in this process: tests that wait for something ask again and again, and a
        process for each look costs more than all that they wait for."""
        code, output, errors = self._in_process(arguments)
        assert not code, f"shoal {' '.join(arguments)}: {errors}{self.logs()}"
        return output

    def refusal(self, *arguments: str) -> str:
        """What `shoal …` says on standard error when it fails, which it has to; in this process."""
        code, output, errors = self._in_process(arguments)
        assert code, f"shoal {' '.join(arguments)} succeeded: {output}{errors}"
        return errors

    def _in_process(self, arguments: Sequence[str]) -> tuple[int, str, str]:
        """Exit code, standard output and errors of a command."""
        environment = {"SHOAL_CONFIG": str(self.config), "SHOAL_VERIFY": "0"}
        with _ONE_AT_A_TIME, CliRunner().isolation(env=environment) as (output, errors, _):
            with pytest.raises(SystemExit) as end:
                main(arguments)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            return int(end.value.code or 0), output.getvalue().decode(), errors.getvalue().decode()

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """Tasks of a service that are to run, as `service ps` has them."""
        rows: list[dict[str, Any]] = self.json("service", "ps", service)
        return [row for row in rows if row["desired"] == "running"]

    def inspect(self, task: str) -> dict[str, Any]:
        """A task whole."""
        document: dict[str, Any] = self.json("task", "inspect", task)[0]
        return document

    def pids(self, service: str) -> dict[str, int]:
        """Process ids of the containers of a service that run, by task id."""
        ids = [row["id"] for row in self.tasks(service)]
        found = self.json("task", "inspect", *ids) if ids else []
        # One that waits for a node has no status yet.
        return {each["task"]["id"]: each["status"]["pid"] for each in found if each.get("status", {}).get("pid")}

    def host_of(self, hostname: str) -> PlaygroundHost:
        return next(host for host in self.layout.all_hosts() if host.name == hostname)

    def logs(self) -> str:
        """The ends of the daemons' logs, for a failure's message."""
        parts = []
        for path in sorted((self.layout.state / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            parts.append(f"\n--- {path.name}\n" + "\n".join(lines))
        return "".join(parts)

    def until(self, condition: Callable[[], Any], what: str, *, seconds: float = DEADLINE_SECONDS) -> Any:
        """Poll a condition until it holds; its value."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.05)
        pytest.fail(f"{what}: not within {seconds:.0f} s{self.logs()}")


def container_process(host: PlaygroundHost, task: str) -> int:
    """Process id of a task's container, by its host, whether a manager knows of it or not; 0: it does not run."""
    try:
        pid = int((host.run / "bundles" / task / "pid").read_text())
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return 0
    return 0 if stat.rpartition(")")[2].split()[0] in "ZX" else pid


def in_volumes(cluster: Cluster, pattern: str) -> list[Path]:
    """What is in the directories of local volumes, on any host's disk."""
    while True:
        try:
            return sorted(
                path for host in cluster.layout.all_hosts() for path in (host.state / "volumes").glob(pattern)
            )
        except FileNotFoundError:
            continue  # a directory was deleted while it was looked through


def data_directories(cluster: Cluster) -> list[Path]:
    """The data of local volumes on any host's disk."""
    return in_volumes(cluster, "*/_data")


def inside(pid: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the container that the process is in, in its namespaces."""
    enter = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--root", "--wd"]
    return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=30, check=False)
