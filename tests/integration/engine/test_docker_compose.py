"""Docker Compose on a cluster of three hosts: a project from `up` to `down`, with all that its file can say."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.engine.conftest import EngineCluster
from tests.integration.engine.docker_program import compose_program, docker, run

pytestmark = pytest.mark.parametrize("shared_engine", [3], ids=["three-hosts"], indirect=True)

PROJECT = """
name: shop
services:
  db:
    image: hello:1
    command: sh -c "sleep 0.5; exec /entrypoint.sh"
    healthcheck: {test: ["CMD", "wget", "-qO", "/dev/null", "http://127.0.0.1"], interval: 100ms, retries: 600}
    volumes: ["data:/data"]
    networks: {back: {aliases: [database]}}
  prepare:
    image: hello:1
    command: wget -qO /dev/null http://database
    depends_on: {db: {condition: service_healthy}}
    networks: [back]
  web:
    image: hello:1
    depends_on: {prepare: {condition: service_completed_successfully}}
    ports: ["8090:80"]
    networks: [back, front]
    environment: {MODE: a}
    secrets: [key]
    configs: [{source: motd, target: /motd}]
  worker:
    image: hello:1
    networks: [back]
  debug:
    image: hello:1
    profiles: [debug]
networks: {back: {}, front: {}}
volumes: {data: {}}
secrets: {key: {file: ./key}}
configs: {motd: {file: ./motd}}
"""

Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def compose(engine: EngineCluster, tmp_path: Path) -> Iterator[Compose]:
    """`docker compose …` in the directory of the project; it has to succeed."""
    for name, content in {"compose.yaml": PROJECT, "key": "hidden\n", "motd": "hello\n"}.items():
        (tmp_path / name).write_text(content)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = run(compose_program(), "--project-directory", tmp_path, "-f", tmp_path / "compose.yaml", *arguments)
        assert done.returncode == 0, f"compose {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    yield call
    call("--profile", "*", "down", "-v", "-t", "1")


def services(compose: Compose) -> dict[str, list[str]]:
    """Names of the containers that run, by service."""
    found: dict[str, list[str]] = {}
    for line in compose("ps", "--format", "json").stdout.splitlines():
        row = json.loads(line)
        found.setdefault(row["Service"], []).append(row["ID"])
    return found


def test_a_project_from_up_to_down(engine: EngineCluster, compose: Compose, tmp_path: Path) -> None:
    first = compose("up", "-d").stderr
    assert first.index("shop-db-1  Healthy") < first.index("shop-prepare-1  Started")
    assert first.index("shop-prepare-1  Exited") < first.index("shop-web-1  Started")
    running = services(compose)
    assert {*running} == {"db", "web", "worker"}
    read = compose("exec", "-T", "web", "sh", "-c", "cat /run/secrets/key /motd; echo $MODE; wget -qO- http://database")
    assert read.stdout.startswith("hidden\nhello\na\nversion: 1\n")
    assert compose("port", "web", "80").stdout == "0.0.0.0:8090\n"
    engine.cluster.until(lambda: "hello 1 on" in compose("logs", "--no-log-prefix", "web").stdout, "its first line")
    engine.cluster.until(lambda: "httpd" in compose("top", "web").stdout, "its server")

    again = compose("up", "-d").stderr
    assert "Recreate" not in again and "Creating" not in again
    assert services(compose) == running
    (tmp_path / "compose.yaml").write_text(PROJECT.replace("MODE: a", "MODE: b"))
    assert "shop-web-1  Recreated" in compose("up", "-d").stderr
    changed = services(compose)
    assert changed["web"] != running["web"] and changed["db"] == running["db"]
    assert compose("exec", "-T", "web", "sh", "-c", "echo $MODE").stdout == "b\n"

    compose("up", "-d", "--scale", "worker=3")
    assert len(services(compose)["worker"]) == 3
    compose("scale", "worker=1")
    assert services(compose)["worker"] == running["worker"]
    compose("down", "-v", "-t", "1")
    assert [docker(*words) for words in (["ps", "-aq"], ["volume", "ls", "-q"])] == ["", ""]
    assert "shop" not in docker("network", "ls", "--format", "{{.Name}}")


def test_a_project_is_stopped_started_and_looked_into(compose: Compose, tmp_path: Path) -> None:
    compose("up", "-d", "--wait", "worker", "db")
    compose("pause", "worker")
    assert "(Paused)" in compose("ps").stdout
    compose("unpause", "worker")
    (tmp_path / "file").write_text("content\n")
    compose("cp", str(tmp_path / "file"), "worker:/tmp/file")
    compose("cp", "worker:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content\n"
    compose("restart", "-t", "1", "worker")
    assert compose("run", "--rm", "-T", "--no-deps", "web", "echo", "once").stdout == "once\n"
    assert "debug" not in services(compose)
    compose("--profile", "debug", "up", "-d", "debug")
    assert "debug" in services(compose)
    compose("stop", "-t", "1")
    assert {*services(compose)} == {"debug"}
    compose("start", "db", "worker")
    assert {*services(compose)} == {"db", "debug", "worker"}
    assert "running(3)" in compose("ls").stdout
    assert json.loads(compose("images", "--format", "json").stdout)[0]["Repository"] == "hello"
    compose("kill", "worker")
    compose("rm", "-f", "worker")
    assert "worker" not in compose("ps", "-a").stdout
    assert {"db", "web", "worker"} <= {*compose("config", "--services").stdout.split()}
