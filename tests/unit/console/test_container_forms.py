"""Forms of containers and services as requests: notations of the command line, faults by field."""

from typing import Any

import pytest

from console.forms.container_form import container_request, update_request
from console.forms.form_fields import faults_by_field
from console.forms.service_form import FIELD_OF, service_spec
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import PublishedPort, RestartPolicy, UpdateConfig
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.errors import Fault, InvalidInput


def test_a_container_as_its_form_says() -> None:
    request = container_request(
        {
            "image": " registry:5000/hello:1 ",
            "name": "box",
            "node": "h2",
            "command": "sh -c 'echo a b'",
            "ports": ["8080:80/udp", "", "published=9000,target=90"],
            "volumes": ["data:/data:ro", "/srv:/srv"],
            "env": ["A=b c", "B="],
            "labels": ["tier=web=1"],
            "networks": ["front"],
            "restart": "on-failure:3",
            "cpus": "1.5",
            "memory": "64M",
            "pids": "100",
            "terminal": True,
            "remove": False,
        }
    )
    definition, container = request.definition, request.definition.task.container
    assert (request.name, request.node, container.image) == ("box", "h2", "registry:5000/hello:1")
    assert list(container.command) == ["sh", "-c", "echo a b"] and list(container.env) == ["A=b c", "B="]
    assert [(each.published, each.target) for each in definition.ports] == [(8080, 80), (9000, 90)]
    assert definition.ports[0].protocol == PublishedPort.UDP
    assert [(each.type, each.source, each.read_only) for each in container.mounts] == [
        (Mount.VOLUME, "data", True),
        (Mount.BIND, "/srv", False),
    ]
    assert dict(definition.labels) == {"tier": "web=1"} and definition.task.networks[0].network == "front"
    assert (definition.restart.condition, definition.restart.max_attempts) == (ContainerRestart.ON_FAILURE, 3)
    limits = definition.task.limits
    assert (limits.nano_cpus, limits.memory_bytes, limits.pids) == (1_500_000_000, 64 << 20, 100)
    assert container.tty and container.stdin_open and not container.init and not definition.auto_remove


def test_every_fault_of_a_form_names_its_field() -> None:
    form: dict[str, Any] = {
        "image": 3,
        "command": "echo 'a",
        "ports": ["80:x", "y"],
        "volumes": "data:/data",
        "env": ["A"],
        "restart": "sometimes",
        "memory": "lots",
        "labels": ["=1"],
    }
    with pytest.raises(InvalidInput) as error:
        container_request(form)
    paths = [each.path for each in error.value.faults]
    assert paths == ["ports", "ports", "labels", "restart", "memory", "image", "command", "env", "volumes"]


def test_an_update_changes_what_its_form_says_alone() -> None:
    request = update_request("box", {"cpus": "", "memory": "1g", "restart": ""})
    assert request.limits.memory_bytes == 1 << 30 and not request.limits.nano_cpus and not request.HasField("restart")
    assert not update_request("box", {}).HasField("limits")


def test_a_service_as_its_form_says() -> None:
    spec = service_spec(
        {
            "name": "web",
            "image": "hello:1",
            "mode": "",
            "replicas": "3",
            "ports": ["8080:80"],
            "volumes": ["data:/data"],
            "constraints": ["node.labels.disk == ssd"],
            "reserved_cpus": "0.25",
            "restart": "on-failure",
            "parallelism": "0",
            "order": "start-first",
        }
    )
    assert (spec.name, spec.replicated.replicas, spec.endpoint.ports[0].published) == ("web", 3, 8080)
    assert spec.task.container.mounts[0].source == "data" and spec.task.reservations.nano_cpus == 250_000_000
    assert list(spec.task.placement.constraints) == ["node.labels.disk == ssd"]
    assert spec.task.restart.condition == RestartPolicy.ON_FAILURE
    assert (spec.update.parallelism, spec.update.order) == (1_000_000, UpdateConfig.START_FIRST)
    job = service_spec({"name": "report", "image": "r", "mode": "replicated-job", "schedule": "0 3 * * *"})
    assert job.replicated_job.total_completions == 1 and job.schedule.cron == "0 3 * * *"


def test_what_a_mode_does_not_have_is_a_fault_of_its_field() -> None:
    with pytest.raises(InvalidInput) as error:
        service_spec({"name": "web", "image": "a", "mode": "global", "replicas": "3"})
    assert [each.path for each in error.value.faults] == ["replicas"]


def test_faults_of_managers_are_told_by_field_where_there_is_one() -> None:
    found = faults_by_field([Fault("endpoint.ports[2].published", "taken"), Fault("task.other", "wrong")], FIELD_OF)
    assert found == [Fault("ports", "taken"), Fault("task.other", "wrong")]
