"""A database keeps every acknowledged row, and no two servers ever run on its data, whatever happens to its nodes."""

import os
import signal
from pathlib import Path

import pytest

from cli.playground import virtual_network
from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.postgres import Writer
from tests.integration.cluster.postgres_image import DATA, GROUP, USER, write_postgres_image

IMAGE = "registry:5000/postgres:1"
PORT = 8432


@pytest.fixture(scope="module")
def image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    archive = write_postgres_image(tmp_path_factory.mktemp("postgres"))
    cluster.shoal("image", "push", "--quiet", str(archive), IMAGE)
    return IMAGE


@pytest.fixture
def database(clean: Cluster) -> Cluster:
    """The cluster; volumes are removed after the test."""
    return clean


def start(cluster: Cluster, image: str, mount: str) -> Writer:
    mark = f"SERVER_OF={cluster.layout.name}-{mount.partition(',')[0]}"
    cluster.shoal(
        *("service", "create", "--detach", "--name", "db", "--restart-delay", "100ms", "--publish", f"{PORT}:5432"),
        *("--mount", f"{mount},target={DATA}", "--env", mark, "--stop-grace-period", "20s", image),
    )
    return Writer([str(host.address) for host in cluster.layout.all_hosts()], PORT, mark)


def node_of(cluster: Cluster) -> str:
    """The node where the database runs, once it does."""

    def running() -> list[str]:
        return [row["node"] for row in cluster.tasks("db") if row["state"] == "running"]

    (node,) = cluster.until(running, "the database to run")
    return str(node)


def crash(cluster: Cluster, writer: Writer) -> None:
    (server,) = writer.servers()
    os.kill(server, signal.SIGKILL)
    cluster.until(lambda: writer.servers() not in ([], [server]), "another server")


def other_node(cluster: Cluster, node: str) -> str:
    return next(host.name for host in cluster.layout.all_hosts() if host.name != node)


def waits(cluster: Cluster, text: str) -> None:
    def reported() -> bool:
        return any(text in row["reason"] for row in cluster.tasks("db"))

    cluster.until(reported, f"the database to wait: {text}")


def test_on_a_volume_it_stays_with_its_data(database: Cluster, image: str) -> None:
    with start(database, image, "type=volume,source=data").running() as writer:
        writer.await_rows(20)
        at_home = node_of(database)
        for _ in range(2):
            crash(database, writer)
            writer.await_rows(5)
        database.shoal("service", "update", "--force", "db")  # after which no crash counts any more
        for _ in range(2):
            crash(database, writer)
            writer.await_rows(5)
        database.shoal("service", "rebalance", "db")
        writer.await_rows(10)
        assert node_of(database) == at_home

        database.shoal("node", "update", "--availability", "drain", "--drain-deadline", "2s", at_home)
        waits(database, f"for volume data on node {at_home}, which is drained")
        (row,) = database.json("volume", "ls", "--filter", "name=data")
        assert row["home"] == at_home == row["nodes"]
        database.shoal("node", "update", "--availability", "active", at_home)
        writer.await_rows(10)

        virtual_network.set_link_state(database.layout, database.host_of(at_home), connected=False)
        waits(database, f"for volume data on node {at_home}, which is down")
        virtual_network.set_link_state(database.layout, database.host_of(at_home), connected=True)
        writer.await_rows(20)
        assert node_of(database) == at_home

        there = other_node(database, at_home)
        database.shoal("volume", "move", "data", "--to", there)
        writer.await_rows(20)
        assert node_of(database) == there
        crash(database, writer)
        database.shoal("node", "update", "--availability", "drain", there)
        database.shoal("volume", "move", "data", "--to", at_home)
        writer.await_rows(20)
        assert node_of(database) == at_home
        assert not writer.lost()
    assert writer.max_concurrent == 1 and writer.looks > 100
    listed = database.shoal("volume", "ls", "--size")
    assert " MiB" in listed and at_home in listed


def test_on_shared_storage_it_moves_and_never_overlaps(database: Cluster, image: str, tmp_path: Path) -> None:
    """All hosts of the playground have this machine's disk: a bind mount is as one on NFS."""
    storage = tmp_path / "storage"
    storage.mkdir()
    os.chown(storage, USER, GROUP)
    with start(database, image, f"type=bind,source={storage}").running() as writer:
        writer.await_rows(20)
        before = node_of(database)
        database.shoal("node", "update", "--availability", "drain", before)
        database.until(lambda: node_of(database) != before, "the database elsewhere")
        writer.await_rows(10)
        database.shoal("node", "update", "--availability", "active", before)
        crash(database, writer)
        database.shoal("service", "update", "--update-order", "start-first", "--force", "db")
        writer.await_rows(10)
        database.shoal("service", "rebalance", "db")
        writer.await_rows(10)

        lost = node_of(database)
        virtual_network.set_link_state(database.layout, database.host_of(lost), connected=False)
        waits(database, f"for node {lost}, which is down and may still run task")
        assert len(writer.servers()) == 1, "nobody can tell that it has ended, and it has not"
        virtual_network.set_link_state(database.layout, database.host_of(lost), connected=True)
        writer.await_rows(20)
        assert not writer.lost()
    assert writer.max_concurrent == 1 and writer.looks > 100
