"""Clusters with an engine, as Docker's clients find one: of one host and of three."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from cli.playground import virtual_network
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.harness import RUN_ROOT, Cluster
from tests.integration.cluster.leftovers import remove_all
from tests.integration.cluster.subnets import free_subnet

IMAGES = Path(__file__).parents[3] / "build" / "images"
HELLO = "hello:1"


@dataclass(frozen=True)
class EngineCluster:
    """A cluster and where its engine listens, which is on its first host."""

    cluster: Cluster
    hosts: int

    @property
    def docker_host(self) -> str:
        """What `DOCKER_HOST` has."""
        return f"unix://{self.cluster.layout.engine_socket}"

    @property
    def address(self) -> str:
        """Of the engine's host: there published ports answer."""
        return str(self.cluster.layout.host(1).address)

    @property
    def node(self) -> str:
        """A node beside the first one; the only one if there is no other."""
        return f"h{self.hosts}"

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """A client of Docker's own, of the newest version that both know."""
        client = docker.DockerClient(self.docker_host)
        try:
            yield client
        finally:
            client.close()

    def load(self, archive: Path) -> None:
        """`docker load`."""
        with self.client() as client, archive.open("rb") as content:
            client.images.load(content)


@pytest.fixture(scope="session", params=[1, 3], ids=["one-host", "three-hosts"])
def shared_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineCluster]:
    """A cluster with the image `hello:1`, for all tests of a run."""
    hosts: int = request.param
    root = tmp_path_factory.mktemp(f"engine{hosts}")
    layout = Layout(
        name=f"e{os.getpid() % 100_000}x{hosts}",
        hosts=hosts,
        subnet=free_subnet(),
        state_root=root / "state",
        run_root=RUN_ROOT,
    )
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=print, with_engine=True)
    playground.up()
    try:
        made = EngineCluster(Cluster(playground, root / "config"), hosts)
        made.load(IMAGES / "hello-1.tar")
        yield made
    finally:
        playground.down()
    assert not virtual_network.playground_namespaces(layout)


@pytest.fixture
def engine(shared_engine: EngineCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EngineCluster]:
    """The cluster as a person's environment names it. All but images is removed after the test."""
    monkeypatch.setenv("DOCKER_HOST", shared_engine.docker_host)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))  # no credentials, no contexts
    yield shared_engine
    remove_all(shared_engine.cluster, keep_images=True)
