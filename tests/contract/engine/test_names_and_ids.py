"""A name means what has it, and nothing else: also where the cluster's own ids begin like it, which no client sees."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.container_ids import object_id
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.raw_http import request
from tests.contract.engine.rig.served import served


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    with served(rig_routes, tmp_path) as engine:
        yield engine.socket


def send(socket: Path, method: str, target: str, body: object = None) -> tuple[int, Any]:
    status, _, content = request(socket, method, target, body=b"" if body is None else json.dumps(body).encode())
    return status, json.loads(content) if content else None


def beginning(document: dict[str, str]) -> str:
    """Of the id that the cluster has for an object. Five characters, that the object's own digits do not begin so."""
    identifier = object_id(document["Id"])
    assert identifier is not None
    return identifier[:5]


def test_a_name_that_was_given_up_is_no_other_container(socket: Path) -> None:
    _, other = send(socket, "POST", "/containers/create?name=other", {"Image": "alpine"})
    name = beginning(other)
    assert send(socket, "POST", f"/containers/create?name={name}", {"Image": "alpine"})[0] == 201
    assert send(socket, "GET", f"/containers/{name}/json")[1]["Name"] == f"/{name}"
    assert send(socket, "POST", f"/containers/{name}/rename?name={name}b")[0] == 204
    assert send(socket, "GET", f"/containers/{name}b/json")[0] == 200
    for method, target in (
        ("GET", f"/containers/{name}/json"),
        ("POST", f"/containers/{name}/start"),
        ("POST", f"/containers/{name}/stop"),
        ("DELETE", f"/containers/{name}?force=1"),
    ):
        assert send(socket, method, target) == (404, {"message": f"No such container: {name}"}), (method, target)
    assert send(socket, "GET", "/containers/other/json")[1]["State"]["Status"] == "created"


def test_nor_is_one_another_network_or_service(socket: Path) -> None:
    _, network = send(socket, "POST", "/networks/create", {"Name": "front"})
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "alpine"}}}
    _, service = send(socket, "POST", "/services/create", spec)
    short = beginning(network)
    body = {"Image": "alpine", "HostConfig": {"NetworkMode": short}}
    status, document = send(socket, "POST", "/containers/create", body)
    assert (status, f"network {short} not found" in document["message"]) == (400, True), document
    for method in ("GET", "DELETE"):
        assert send(socket, method, f"/networks/{short}")[0] == 404
        assert send(socket, method, f"/services/{service['ID'][:5]}")[0] == 404
    assert send(socket, "GET", f"/services/{service['ID'][:8]}")[1]["Spec"]["Name"] == "web"
