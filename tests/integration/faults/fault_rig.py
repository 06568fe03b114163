"""Arms fault points of a daemon of a test cluster, waits until it has died of them, and looks at what is left."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cli.images.pack import pack_image, pack_layer, write_archive
from cli.playground import daemons
from cli.playground.layout import PlaygroundHost
from shoal.distribution.manifests import host_platform
from tests.csi_driver.pool import Pool
from tests.integration.cluster.harness import SHOAL, Cluster
from tests.integration.cluster.volumes.test_csi_volumes import Drivers
from tests.integration.faults.host_state import host_state, surplus

HELLO = "registry:5000/hello:1"
BYSTANDER = "stays"
ON_H1 = ("--constraint", "node.hostname==h1", "--restart-delay", "100ms", "--stop-signal", "SIGKILL")
LEAK_SECONDS = 30.0


class FaultRig:
    """The cluster of the tests in this folder.

    Attributes:
        host: the one whose agent has faults.
    """

    def __init__(self, cluster: Cluster, images: Path) -> None:
        self.cluster = cluster
        self.host: PlaygroundHost = cluster.layout.host(1)
        self._images = images
        self._file = cluster.layout.state / "faults"
        self._record = cluster.layout.state / "reached"
        self._before: dict[str, list[str]] = {}
        self._node_id = ""
        self._pids: dict[str, int] = {}
        self._made = 0
        self._calls: list[subprocess.Popen[bytes]] = []
        self._away: tuple[Callable[[], object], Callable[[], object]] | None = None

    def set_up(self) -> None:
        """Start h1's agent and the manager with faults that a file names, none so far, and make the bystander."""
        for version in "12":
            archive = self._images / f"hello-{version}.tar"
            self.cluster.shoal("image", "push", "--quiet", str(archive), f"registry:5000/hello:{version}")
        self.cluster.playground.stop_manager()
        self.start_manager()
        self._node_id = next(row["id"] for row in self.cluster.json("node", "ls") if row["hostname"] == "h1")
        self.cluster.shoal("network", "create", "net")
        # Its port brings the routing mesh's network, which stays.
        options = ("--network", "net", "--publish", "target=80,published=8090", *ON_H1)
        self.cluster.shoal("service", "create", "--name", BYSTANDER, *options, HELLO)
        self._pids = self.cluster.pids(BYSTANDER)
        assert len(self._pids) == 1
        self.restart_agent()
        found = self.state
        self.cluster.until(lambda: any("virtual_64" in each for each in found()["rules"]), "the bystander to be ready")

    @cached_property
    def drivers(self) -> Drivers:
        """A CSI driver beside h1's agent, from its first use on."""
        made = Drivers(self.cluster, Pool(Path(mkdtemp(dir=self.cluster.layout.state))))
        made.start("h1")
        return made

    def close(self) -> None:
        """End what is not of the cluster's own."""
        if "drivers" in vars(self):
            self.drivers.stop_all()

    def settle(self) -> None:
        """Remove what an earlier test has left by its failure, and take what is on h1 now as what has to stay."""
        self.arm("")
        if not daemons.is_running(self.cluster.playground.pid("manager")):
            self.start_manager()
        if not daemons.is_running(self.cluster.playground.pid("h1")):
            self.start_agent()
        self.cluster.playground.wait_for_nodes(2)
        self._remove_rest()
        before: dict[str, list[str]] = {}
        while (now := self.state()) != before:
            before = now
            time.sleep(0.2)
        self._before = before
        self._pids = self.cluster.pids(BYSTANDER)

    def _remove_rest(self) -> None:
        for call in self._calls:
            call.kill()
            call.wait()
        self._calls.clear()
        rows = self.cluster.quick("ps", "--all", "--format", "{{.Names}}").split()
        for kind, names in (
            ("container", [name for name in rows if name == "c"]),
            ("service", [row["name"] for row in self.cluster.json("service", "ls") if row["name"] != BYSTANDER]),
            ("volume", [row["name"] for row in self.cluster.json("volume", "ls") if row["state"] != "removing"]),
        ):
            for name in names:
                self.cluster.quick(kind, "rm", *(("-f",) if kind == "container" else ()), name)

    def state(self) -> dict[str, list[str]]:
        return host_state(self.host, self._node_id)

    @contextmanager
    def environment(self) -> Iterator[None]:
        """That of a daemon with faults."""
        more = {"SHOAL_FAULTS": f"@{self._file}", "SHOAL_FAULTS_RECORD": str(self._record)}
        os.environ.update(more)
        try:
            yield
        finally:
            for name in more:
                del os.environ[name]

    def arm(self, text: str) -> None:
        """From now on; empty: nothing happens any more."""
        draft = self._file.with_name("faults.new")
        draft.write_text(text)
        draft.replace(self._file)

    def start_manager(self) -> None:
        """Start the manager, until both agents are connected to it."""
        before = [self._sessions(host) for host in self.cluster.layout.all_hosts()]
        with self.environment():
            self.cluster.playground.start_manager()
        self.cluster.until(
            lambda: all(
                self._sessions(host) > number
                for host, number in zip(self.cluster.layout.all_hosts(), before, strict=True)
            ),
            "the agents to be connected again",
        )
        self.cluster.playground.wait_for_nodes(2)

    def spawn_agent(self) -> None:
        """Start h1's agent, which may die at once."""
        with self.environment():
            self.cluster.playground.start_agent(self.host)

    def start_agent(self) -> None:
        """The same, until it is connected: for some seconds after its death the node counts as ready."""
        before = self._sessions(self.host)
        self.spawn_agent()
        if self._away is not None:
            (has_acted, bring_back), self._away = self._away, None
            self.cluster.until(has_acted, "the node to act without a manager", seconds=60)
            bring_back()
        self.cluster.until(lambda: self._sessions(self.host) > before, "h1's agent to be connected")
        self.cluster.playground.wait_for_nodes(2)

    def managers_are_away(self, has_acted: Callable[[], object], bring_back: Callable[[], object]) -> None:
        """The next start of the agent brings them back, once it has acted without them."""
        self._away = has_acted, bring_back

    def failed_sessions(self) -> int:
        """How often h1's agent has lost a manager, or not reached one."""
        return self.host.log.read_text().count("cannot connect to manager")

    def etcd_pid(self) -> int:
        """Of the manager's own."""
        return int(subprocess.check_output(["pgrep", "-P", str(self.cluster.playground.pid("manager")), "-x", "etcd"]))

    def _sessions(self, host: PlaygroundHost) -> int:
        return host.log.read_text().count("connected to manager")

    def restart_agent(self) -> None:
        self.cluster.playground.stop_agent(self.host, kill=True)
        self.start_agent()

    def await_death(self, name: str = "h1", seconds: float = 90.0) -> None:
        """Until a daemon has died of its fault."""
        pid = self.cluster.playground.pid(name)
        self.cluster.until(lambda: not daemons.is_running(pid), f"{name} to die of its fault", seconds=seconds)
        daemons.stop([pid], grace_seconds=0)

    def reached(self) -> set[str]:
        """The points that any process has come by."""
        return set(self._record.read_text().split()) if self._record.exists() else set()

    def background(self, *words: str) -> "subprocess.Popen[bytes]":
        """`shoal …`, which may fail for the fault's sake."""
        environment = {**os.environ, "SHOAL_CONFIG": str(self.cluster.config), "SHOAL_VERIFY": "0"}
        null = subprocess.DEVNULL
        self._calls.append(subprocess.Popen([SHOAL, *words], stdin=null, stdout=null, stderr=null, env=environment))
        return self._calls[-1]

    def push_image(self, *, files: int = 1) -> str:
        """An image that no node has, of busybox and a layer of its own with `files` files in /data; its reference."""
        self._made += 1
        root = self.cluster.layout.state / f"image-{self._made}"
        (root / "data").mkdir(parents=True)
        (root / "bin").mkdir()
        (root / "bin/sh").write_bytes(Path("/usr/bin/busybox").read_bytes())
        (root / "bin/sh").chmod(0o755)
        for number in range(files):
            (root / "data" / f"file-{number}").write_bytes(os.urandom(1 << 12))
        archive = root.with_suffix(".tar")
        settings = {"Cmd": ["/bin/sh", "-c", "while :; do sleep 1; done"], "Env": ["PATH=/bin"]}
        settings["Cmd"] = ["/bin/sh", "-c", "read line < /dev/zero"]
        write_archive(archive, [pack_image([pack_layer(root)], settings, host_platform())], tag="made:1")
        reference = f"registry:5000/made:{self._made}"
        self.cluster.shoal("image", "push", "--quiet", str(archive), reference)
        return reference

    def check(self, what: str) -> None:
        """The bystander has the same process, and h1 has nothing too much and nothing too little."""
        ps = self.cluster.quick("service", "ps", BYSTANDER)
        assert self.cluster.pids(BYSTANDER) == self._pids, f"{what}: the bystander was restarted\n{ps}"
        deadline = time.monotonic() + LEAK_SECONDS
        while found := surplus(self._before, self.state()):
            assert time.monotonic() < deadline, f"{what}: {found}"
            time.sleep(0.1)

    def running(self, service: str) -> Any:
        """Wait until its one task runs; its row."""
        return self.cluster.until(
            lambda: next((row for row in self.cluster.tasks(service) if row["state"] == "running"), None),
            f"{service} to run",
        )
