"""What the end-to-end figures are measured on: a playground of their own, the example image in its registry."""

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from cli.client import Client
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore

SHOAL = Path(sys.executable).parent / "shoal"
ROOT = Path(__file__).parents[3]
ARCHIVE = ROOT / "build" / "images" / "hello-1.tar"
PACKAGES = ("shoal", "manager", "agent", "cli", "engine")
"""With their bytecode, as pip leaves an installation: where Python may not write it, each start compiles again."""
IMAGE = "registry:5000/hello:1"
SUBNET = IPv4Network(os.environ.get("SHOAL_TEST_SUBNET", "198.18.21.0/24"))


@dataclass(frozen=True)
class Bed:
    """A cluster, and the command line as a user runs it."""

    playground: Playground
    config: Path

    def shoal(self, *arguments: str) -> str:
        """Run `shoal …`; its standard output."""
        # What is measured is the way to running tasks, not how long they are watched then.
        environment = {**os.environ, "SHOAL_CONFIG": str(self.config), "SHOAL_VERIFY": "0"}
        done = subprocess.run([SHOAL, *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"shoal {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def pid_of(self, service: str) -> int:
        """Of the container of a service's one task."""
        (task,) = json.loads(self.shoal("service", "ps", service, "--format", "json"))
        (whole,) = json.loads(self.shoal("task", "inspect", task["id"], "--format", "json"))
        pid: int = whole["status"]["pid"]
        return pid

    def seconds(self, *arguments: str) -> float:
        """How long `shoal …` takes, from its start to its end."""
        begin = time.perf_counter()
        self.shoal(*arguments)
        return time.perf_counter() - begin

    def client(self) -> Client:
        """A connection of this process."""
        return self.playground.client()


@contextmanager
def cluster(hosts: int, *, warm: bool = True, managers: int = 1) -> Iterator[Bed]:
    """A playground, if `warm` with the image on every host; all of it is removed at the end."""
    if not ARCHIVE.exists():
        raise RuntimeError(f"{ARCHIVE} is missing; `make images` makes it")
    for package in PACKAGES:
        compileall.compile_dir(ROOT / package, quiet=1)
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        root = Path(directory)
        layout = Layout(
            name=f"b{os.getpid() % 1_000_000}",
            hosts=hosts,
            managers=managers,
            subnet=SUBNET,
            state_root=root / "state",
            run_root=root / "run",
        )
        playground = Playground(layout, contexts=ContextStore(root / "config"))
        playground.up()
        try:
            bed = Bed(playground, root / "config")
            bed.shoal("image", "push", "--quiet", str(ARCHIVE), IMAGE)
            if warm:
                bed.shoal("service", "create", "--name", "warm", "--replicas", str(4 * hosts), IMAGE)
                bed.shoal("service", "rm", "warm")
            yield bed
        finally:
            playground.down()
