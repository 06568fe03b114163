"""The release before this one beside this one: a cluster is upgraded host by host, and nothing of its user's stops.

Managers and agents of both releases run together, the command lines of both are used, a rolling update is under
way, and `logs -f` goes on over all of it.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.playground import daemons, monitoring
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from cli.playground.pids_file import load_pids
from manager.upgrades.state_formats import STATE_FORMAT
from shoal.api.v1.cluster_pb2 import ManagerMembership
from shoal.api.v1.control_pb2 import ListManagersRequest
from shoal.contexts.context_store import ContextStore
from shoal.state_format import load_format, this_release
from tests.integration.cluster.harness import SHOAL, Cluster
from tests.integration.cluster.subnets import beside, free_subnet

TOP = Path(__file__).parents[3]
IMAGES = TOP / "build" / "images"
PREVIOUS = TOP / "build" / "previous" / "venv" / "bin"
HELLO = "registry:5000/hello"
NEW, OLD = SHOAL.parent, PREVIOUS


class TwoReleases(Cluster):
    """A cluster of the release before, whose programs are replaced by those of this one."""

    def run_of(self, release: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`shoal …` of a release, whatever its exit code."""
        environment = {**os.environ, "SHOAL_CONFIG": str(self.config), "SHOAL_VERIFY": "0"}
        return subprocess.run(
            [release / "shoal", *arguments], capture_output=True, text=True, env=environment, timeout=120, check=False
        )

    def of(self, release: Path, *arguments: str) -> str:
        """`shoal …` of a release, which has to succeed."""
        done = self.run_of(release, *arguments)
        assert done.returncode == 0, f"shoal {' '.join(arguments)}: {done.stderr}{self.logs()}"
        return done.stdout

    def upgrade_agent(self, number: int) -> None:
        """Another agent of this release takes over the host, and its node is ready again."""
        host = self.layout.host(number)
        before = host.log.read_text().count("connected to manager")
        self.playground.stop_agent(host)
        self.playground.start_agent(host)
        self.until(lambda: host.log.read_text().count("connected to manager") > before, f"{host.name} has a session")
        self.playground.wait_for_nodes(2)

    def upgrade_manager(self, number: int) -> None:
        """Another manager of this release takes over the host, and votes."""
        if number == 1:
            self.playground.stop_manager()
            self.playground.start_manager()
            self.until(lambda: self.voting() == 3, "all managers vote")
            return
        host = self.layout.other_managers()[number - 2]
        daemons.stop([load_pids(self.layout)[host.name]], grace_seconds=10)
        self.until(lambda: self.voting() == 2, f"{host.name} is down")
        self.playground.start_other_manager(host)

    def voting(self) -> int:
        with self.playground.client() as client:
            views = client.call(client.control.ListManagers, ListManagersRequest()).managers
        return sum(each.alive and each.membership.state == ManagerMembership.VOTER for each in views)


def start_previous(cluster: TwoReleases, names: tuple[str, ...]) -> None:
    """Three managers of the release before that vote. On a busy machine it at times starts the third one in vain: it
    takes a manager whose lease had lapsed for the one that joins, and writes the next token over one that was not read
    yet, so that two managers join with the same one.
    """
    for attempt in (1, 2, 3):
        try:
            cluster.of(OLD, "playground", "up", *names)
        except AssertionError:
            if attempt == 3:
                raise
            continue
        if cluster.voting() == 3:
            return
        cluster.playground.down()
    pytest.fail("the release before has no three managers that vote")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoReleases]:
    """Three managers and two hosts, all of the release before."""
    subprocess.run(["sh", TOP / "tests" / "upgrade" / "previous_release.sh"], check=True)
    root = tmp_path_factory.mktemp("releases")
    # The former release starts it itself: it knows its own programs' options.
    layout = Layout(f"u{os.getpid() % 1_000_000}", 2, beside(free_subnet()), managers=3)
    made = TwoReleases(Playground(layout, contexts=ContextStore(root / "config")), root / "config")
    # A busy machine may take longer to start an agent than a node may be silent, which then is replaced.
    patch = pytest.MonkeyPatch()
    patch.setenv("SHOAL_MANAGER_HEARTBEAT_SECONDS", "20")
    names = ("--name", layout.name, "--hosts", "2", "--managers", "3", "--subnet", str(layout.subnet))
    try:
        start_previous(made, names)
        monitoring.write_token(layout)  # This release's programs are started with it, and the former made none.
        for version in "12":
            made.of(OLD, "image", "push", "--quiet", str(IMAGES / f"hello-{version}.tar"), f"{HELLO}:{version}")
        yield made
    finally:
        patch.undo()
        made.playground.down()


COUNT = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done"


@contextmanager
def followed_log(cluster: TwoReleases, container: str, path: Path) -> Iterator[None]:
    """`shoal logs -f` of this release into a file, over all that happens meanwhile."""
    environment = {**os.environ, "SHOAL_CONFIG": str(cluster.config)}
    with path.open("wb") as log, path.with_suffix(".errors").open("wb") as errors:
        process = subprocess.Popen([SHOAL, "logs", "-f", container], stdout=log, stderr=errors, env=environment)
    try:
        yield
        assert process.poll() is None, path.with_suffix(".errors").read_text()
    finally:
        process.kill()
        process.wait()


def test_a_cluster_is_upgraded_host_by_host(cluster: TwoReleases, tmp_path: Path) -> None:
    cluster.of(OLD, "service", "create", "--name", "steady", "--mode", "global", f"{HELLO}:1")
    cluster.of(OLD, "service", "create", "--name", "web", "--replicas", "4", "--update-delay", "3s", f"{HELLO}:1")
    cluster.of(OLD, "run", "-d", "--name", "own", f"{HELLO}:1", "sh", "-c", COUNT)
    running = {**cluster.pids("steady"), "own": own_pid(cluster)}
    with followed_log(cluster, "own", tmp_path / "own.log"):
        # An agent of this release and managers of the former one.
        cluster.upgrade_agent(1)
        reaches_programs(cluster)
        assert f"nodes run different releases: {this_release()} (1), {this_release()}+" in mixed_note(cluster, "node")
        cluster.of(OLD, "service", "update", "-d", "--image", f"{HELLO}:2", "web")
        # Managers of both, and a rolling update.
        cluster.upgrade_manager(2)
        assert f"managers run different releases: {this_release()} (1), {this_release()}+" in mixed_note(
            cluster, "manager"
        )
        reaches_programs(cluster)
        cluster.of(OLD, "network", "create", "from-old")
        cluster.until(lambda: "from-old" in cluster.of(NEW, "network", "ls"), "each manager to have the network")
        cluster.upgrade_manager(3)
        assert load_format(cluster.layout.manager_state).number == 0, "one manager does not read it"
        cluster.upgrade_manager(1)
        # Managers of this release and an agent of the former one.
        reaches_programs(cluster)
        cluster.until(lambda: updated(cluster), "all tasks are updated")
        cluster.upgrade_agent(2)
        reaches_programs(cluster)
    assert {**cluster.pids("steady"), "own": own_pid(cluster)} == running, "no container was restarted"
    rows = cluster.json("service", "ps", "web")
    assert len(rows) == 8, "each task was replaced once, by the update"
    numbers = [int(line) for line in (tmp_path / "own.log").read_text().split()]
    assert numbers == list(range(1, len(numbers) + 1)), "no line is missing or doubled"
    cluster.until(
        lambda: load_format(cluster.layout.manager_state).number == STATE_FORMAT, "the state has this release's format"
    )
    assert mixed_note(cluster, "manager") == ""


def own_pid(cluster: TwoReleases) -> int:
    return int(cluster.quick("container", "inspect", "--format", "{{.State.Pid}}", "own"))


def updated(cluster: TwoReleases) -> bool:
    tasks = [row for row in cluster.tasks("web") if row["state"] == "running"]
    return len(tasks) == 4 and all(str(row["image"]).endswith(":2") for row in tasks)


def reaches_programs(cluster: TwoReleases) -> None:
    """Programs in containers of both hosts, from the command lines of both releases; some managers learn a moment later
    than others that a node is back."""
    for release in (OLD, NEW):
        for host in cluster.layout.all_hosts():
            words = ("exec", f"steady.{host.name}", "echo", "reached")
            cluster.until(lambda: cluster.run_of(release, *words).stdout == "reached\n", " ".join(words))  # noqa: B023


def mixed_note(cluster: TwoReleases, what: str) -> str:
    """What `shoal … ls` says on standard error."""
    done = cluster.run(what, "ls")
    assert done.returncode == 0, done.stderr
    return done.stderr
