"""The docker command line on the swarm side of the engine, over a manager's handlers, planner and store."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engine.rig.docker_cli import docker, environment_of, wait_until
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.served import served

Environment = dict[str, str]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with served(rig_routes, tmp_path) as engine:
        yield environment_of(engine, tmp_path, tls=False)


def output(environment: Environment, *arguments: str, given: bytes = b"") -> str:
    result = docker(environment, *arguments, given=given)
    assert result.returncode == 0, result.stderr
    return result.stdout.decode()


def failure(environment: Environment, *arguments: str) -> str:
    result = docker(environment, *arguments)
    assert result.returncode != 0, result.stdout
    return result.stderr.decode()


def inspect(environment: Environment, *arguments: str) -> dict[str, Any]:
    (document,) = json.loads(output(environment, *arguments))
    return dict(document)


def test_nodes_are_listed_and_changed(environment: Environment) -> None:
    rows = output(environment, "node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.Availability}}")
    assert rows.splitlines() == ["h1 Ready Active", "h2 Ready Active"]
    output(environment, "node", "update", "--availability", "drain", "--label-add", "disk=ssd", "h2")
    spec = inspect(environment, "node", "inspect", "h2")["Spec"]
    assert spec == {"Labels": {"disk": "ssd"}, "Role": "worker", "Availability": "drain"}
    assert "roles of nodes cannot be changed" in failure(environment, "node", "promote", "h2")


def test_secrets_and_configs_are_kept(environment: Environment) -> None:
    output(environment, "secret", "create", "-l", "a=b", "key", "-", given=b"hidden")
    assert inspect(environment, "secret", "inspect", "key")["Spec"] == {"Name": "key", "Labels": {"a": "b"}}
    output(environment, "config", "create", "motd", "-", given=b"hello")
    assert inspect(environment, "config", "inspect", "motd")["Spec"]["Data"] == "aGVsbG8="
    again = docker(environment, "config", "create", "motd", "-", given=b"hello")
    assert b"config motd already exists" in again.stderr
    assert output(environment, "secret", "ls", "--format", "{{.Name}}") == "key\n"
    output(environment, "secret", "rm", "key")
    assert "secret key not found" in failure(environment, "secret", "inspect", "key")


def test_a_service_is_created_scaled_updated_and_removed(environment: Environment) -> None:
    output(environment, "network", "create", "-d", "overlay", "back")
    arguments = ["--name", "web", "--replicas", "2", "--network", "back", "-e", "A=1", "-p", "8080:80"]
    output(environment, "service", "create", "-d", *arguments, "alpine", "sleep", "9")
    wait_until(lambda: "2/2" in output(environment, "service", "ls", "--format", "{{.Replicas}}"))
    document = inspect(environment, "service", "inspect", "web")
    template = document["Spec"]["TaskTemplate"]
    assert template["ContainerSpec"]["Args"] == ["sleep", "9"]
    assert template["ContainerSpec"]["Env"] == ["A=1"]
    assert template["ContainerSpec"]["Image"].startswith("alpine:latest@sha256:")
    assert document["Endpoint"]["Ports"][0]["PublishedPort"] == 8080
    names = output(environment, "service", "ps", "web", "--format", "{{.Name}} {{.DesiredState}}").splitlines()
    assert sorted(names) == ["web.1 Running", "web.2 Running"]
    output(environment, "service", "scale", "-d", "web=1")
    wait_until(lambda: "1/1" in output(environment, "service", "ls", "--format", "{{.Replicas}}"))
    output(environment, "service", "update", "-d", "--env-add", "B=2", "web")
    updated = inspect(environment, "service", "inspect", "web")
    assert sorted(updated["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]) == ["A=1", "B=2"]
    assert updated["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]
    assert "PreviousSpec" not in document
    assert "name conflicts" in failure(environment, "service", "create", "-d", "--name", "web", "alpine")
    output(environment, "service", "rm", "web")
    assert (
        "service web not found" in failure(environment, "service", "inspect", "web").lower()
        or output(environment, "service", "ls", "-q") == ""
    )


def test_a_service_whose_image_cannot_be_resolved_is_made_with_a_warning(environment: Environment) -> None:
    made = docker(environment, "service", "create", "-d", "--name", "web", "missing:1")
    assert (made.returncode, b"could not be accessed on a registry" in made.stderr) == (0, True)
    container = inspect(environment, "service", "inspect", "web")["Spec"]["TaskTemplate"]["ContainerSpec"]
    assert container["Image"] == "missing:1"
    updated = docker(environment, "service", "update", "-d", "--env-add", "A=1", "web")
    assert updated.returncode == 0, updated.stderr


def test_the_cluster_is_a_swarm_that_is_there(environment: Environment) -> None:
    assert "already part of a swarm" in failure(environment, "swarm", "init")
    assert "--force" in failure(environment, "swarm", "leave")
    assert "Swarm: active" in output(environment, "info")
    output(environment, "swarm", "update", "--task-history-limit", "3")
    assert "Task History Retention Limit: 3" in output(environment, "info")


def test_a_swarm_that_was_left_is_hidden_until_init(environment: Environment) -> None:
    output(environment, "service", "create", "-d", "--name", "web", "alpine", "sleep", "9")
    output(environment, "swarm", "leave", "--force")
    assert "Swarm: inactive" in output(environment, "info")
    assert "This node is not a swarm manager" in failure(environment, "service", "ls")
    output(environment, "swarm", "init")
    assert output(environment, "service", "ls", "--format", "{{.Name}}") == "web\n"


def test_a_job_has_the_numbers_that_clients_count_its_tasks_by(environment: Environment) -> None:
    words = ("--name", "ends", "--mode", "replicated-job", "--replicas", "2", "alpine", "true")
    output(environment, "service", "create", "-d", *words)
    document = inspect(environment, "service", "inspect", "ends")
    assert document["Spec"]["Mode"] == {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}}
    assert document["JobStatus"]["JobIteration"] == {"Index": 1}
    assert "UpdateConfig" not in document["Spec"]
