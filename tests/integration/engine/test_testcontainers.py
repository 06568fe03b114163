"""Tests of applications as people write them, with testcontainers: only `DOCKER_HOST` says that it is a cluster."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer, Reaper
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import (
    HealthcheckWaitStrategy,
    HttpWaitStrategy,
    LogMessageWaitStrategy,
    PortWaitStrategy,
)

from tests.integration.cluster.postgres_image import home, write_postgres_image
from tests.integration.engine.conftest import HELLO, EngineCluster
from tests.integration.engine.images import REDIS, write_reaper_image, write_redis_image

PROGRAM = Path(__file__).with_name("killed_test_run.py")


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("engine-images")
    return [write(directory) for write in (write_redis_image, write_reaper_image, write_postgres_image)]


@pytest.fixture(scope="session")
def with_images(shared_engine: EngineCluster, archives: list[Path]) -> EngineCluster:
    for archive in archives:
        shared_engine.load(archive)
    return shared_engine


@pytest.fixture
def containers(
    engine: EngineCluster, with_images: EngineCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EngineCluster]:
    """The environment of a test run, read when testcontainers is imported; its reaper is ended after the test."""
    monkeypatch.setattr(testcontainers_config, "tc_host_override", engine.address)
    monkeypatch.setattr(testcontainers_config, "sleep_time", 0.1)
    monkeypatch.setattr(testcontainers_config, "max_tries", 600)  # a minute
    monkeypatch.setattr(testcontainers_config, "ryuk_docker_socket", engine.docker_host.removeprefix("unix://"))
    yield engine
    Reaper.delete_instance()


def test_redis_keeps_what_a_client_writes(containers: EngineCluster) -> None:
    with RedisContainer(REDIS) as server:
        with server.get_client() as client:
            client.set("count", 41)
            client.incr("count")
            assert client.get("count") == b"42"
        assert server.exec("redis-cli get count").output == b"42\n"
        assert "Ready to accept connections" in server.get_logs()[0].decode()
        assert not server.get_wrapped_container().attrs["HostConfig"]["Privileged"]


def test_postgres_is_there_once_a_command_in_it_succeeds(containers: EngineCluster) -> None:
    with PostgresContainer("postgres:1", driver=None) as server:
        command = [str(home() / "bin/psql"), server.get_connection_url(), "-X", "-A", "-t", "-c", "SELECT 6 * 7"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout == "42\n"


def test_strategies_wait_for_lines_ports_responses_and_health(containers: EngineCluster) -> None:
    test = ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]
    healthy = {"test": test, "interval": 200_000_000, "start_period": 10_000_000_000}
    strategies = [
        HttpWaitStrategy(8080).for_status_code(200),
        PortWaitStrategy(8080),
        HealthcheckWaitStrategy(),
        LogMessageWaitStrategy("hello 1 on"),
    ]
    server = DockerContainer(HELLO).with_exposed_ports(8080).with_env("PORT", "8080")
    with server.with_kwargs(healthcheck=healthy, init=True) as container:
        for strategy in strategies:
            strategy.with_startup_timeout(60).wait_until_ready(container)
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8080)}/"
        with urllib.request.urlopen(url, timeout=10) as page:
            assert page.status == 200


def test_a_strategy_that_is_never_satisfied_ends_in_time(containers: EngineCluster) -> None:
    never = LogMessageWaitStrategy("no line has this").with_startup_timeout(1)
    with pytest.raises(TimeoutError), DockerContainer(HELLO).waiting_for(never):
        pass


def test_files_are_copied_in_before_the_start_and_out_again(containers: EngineCluster, tmp_path: Path) -> None:
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "tree/below/file").write_text("in a directory")
    settings = DockerContainer(HELLO).with_command("sh -c 'cat /srv/settings; sleep 60'")
    with settings.with_copy_into_container(b"read at the start\n", "/srv/settings") as container:
        LogMessageWaitStrategy("read at the start").with_startup_timeout(60).wait_until_ready(container)
        container.copy_into_container(tmp_path / "tree", "/srv")
        code, output = container.exec(["cat", "/srv/tree/below/file"])
        assert (code, output) == (0, b"in a directory")
        container.exec(["sh", "-c", "echo from inside >/srv/result"])
        container.copy_from_container("/srv/result", tmp_path / "result")
        assert (tmp_path / "result").read_text() == "from inside\n"


def test_containers_of_a_network_reach_each_other_by_alias_from_node_to_node(containers: EngineCluster) -> None:
    with Network() as network:
        server = DockerContainer(HELLO).with_network(network).with_network_aliases("pages", "www")
        client = DockerContainer(HELLO).with_network(network).with_command("sleep 60")
        server.waiting_for(LogMessageWaitStrategy("hello 1 on")).with_env("constraint:node", "=h1")
        client.with_env("constraint:node", f"={containers.node}")
        with server as there, client as here:
            assert here.get_wrapped_container().attrs["Node"]["Name"] == containers.node
            assert there.get_wrapped_container().attrs["Node"]["Name"] == "h1"
            for alias in ("pages", "www"):
                containers.cluster.until(partial(_is_served, here, f"http://{alias}/"), f"the page of {alias}")
        with containers.client() as engine:
            assert engine.networks.list(names=[network.name])
    with containers.client() as engine:
        assert not engine.networks.list(names=[network.name])


def _is_served(container: DockerContainer, url: str) -> bool:
    code, page = container.exec(["wget", "-q", "-O", "-", url])
    return code == 0 and bool(page)


def test_the_reaper_removes_what_a_killed_test_run_has_left(containers: EngineCluster) -> None:
    environment = {
        **os.environ,
        "TESTCONTAINERS_HOST_OVERRIDE": containers.address,
        "RYUK_RECONNECTION_TIMEOUT": "100ms",
        "PYTHONPATH": str(PROGRAM.parents[3]),
    }
    with containers.client() as engine:
        kept = engine.containers.run(HELLO, detach=True, labels={"org.testcontainers.session-id": "of others"})
        with subprocess.Popen([sys.executable, PROGRAM], stdout=subprocess.PIPE, env=environment) as run:
            assert run.stdout is not None
            names = json.loads(run.stdout.readline())
            assert names["container"] in {each.id for each in engine.containers.list()}
            run.send_signal(signal.SIGKILL)

        def left() -> set[str]:
            containers_left = {str(each.id) for each in engine.containers.list(all=True, sparse=True)} - {str(kept.id)}
            networks = {str(each.name) for each in engine.networks.list()} & {names["network"]}
            return containers_left | networks | ({each.name for each in engine.volumes.list()} & {names["volume"]})

        containers.cluster.until(lambda: not left(), "the reaper to remove everything and itself")
        kept.reload()
        assert kept.status == "running"
