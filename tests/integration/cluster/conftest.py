"""A real cluster of three hosts for the tests of this folder."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.playground import virtual_network
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.harness import RUN_ROOT, Cluster
from tests.integration.cluster.leftovers import remove_all
from tests.integration.cluster.subnets import free_subnet

IMAGES = Path(__file__).parents[3] / "build" / "images"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hosts, with the example images in the registry."""
    root = tmp_path_factory.mktemp("cluster")
    layout = Layout(
        name=f"t{os.getpid() % 1_000_000}",
        hosts=3,
        subnet=free_subnet(),
        state_root=root / "state",
        run_root=RUN_ROOT,
    )
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=print)
    playground.up()
    made = Cluster(playground, root / "config")
    try:
        for version in "12":
            made.shoal(
                "image", "push", "--quiet", str(IMAGES / f"hello-{version}.tar"), f"registry:5000/hello:{version}"
            )
        yield made
    finally:
        playground.down()
    assert not virtual_network.playground_namespaces(layout)


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; all that the test made is removed after it, and what it did to hosts and nodes undone."""
    yield cluster
    remove_all(cluster)


@pytest.fixture(scope="session", autouse=True)
def no_subreaper() -> None:
    """Tests that run containers in this process made it one (prctl(2)). Here whom an agent leaves behind is to go to
    the machine's first process, which waits for all: a container lasts until everything in it was waited for.
    """
    pr_set_child_subreaper = 36
    assert ctypes.CDLL(None).prctl(pr_set_child_subreaper, 0, 0, 0, 0) == 0
