"""Answers of the operations are as Docker's description of the API has them: statuses, keys, types, enumerations."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engine.rig import raw_http
from tests.contract.engine.rig.described_api import DescribedApi
from tests.contract.engine.rig.docker_cli import wait_until
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.served import served

API = DescribedApi()
EXPLAINED = {
    # Where a container is, as classic Swarm told it.
    ("ContainerInspect", ": Additional properties are not allowed ('Node' was unexpected)"),
    # As Docker answers, whatever its description says (see the recorded conversations).
    ("ContainerInspect", ".HostConfig.MemorySwappiness: None is not of type 'integer'"),
    ("ContainerExec", "status 400 is not described"),
    ("ContainerPause", "status 409 is not described"),
    ("ExecInspect", ".ExitCode: None is not of type 'integer'"),
    *(
        (name, ": Additional properties are not allowed ('ID' was unexpected)")
        for name in ("SecretCreate", "ConfigCreate")
    ),
    *((name, ": 'Id' is a required property") for name in ("SecretCreate", "ConfigCreate")),
    *(
        (name, f"{place}: Additional properties are not allowed ('NetworksAttachments', 'Volumes' were unexpected)")
        for name, place in (("TaskList", "[0]"), ("TaskList", "[1]"), ("TaskInspect", ""))
    ),
}
CONTAINER = {
    "Image": "alpine",
    "Cmd": ["sleep", "9"],
    "Labels": {"a": "b"},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9},
    "ExposedPorts": {"80/tcp": {}},
    "HostConfig": {
        "PortBindings": {"80/tcp": [{"HostPort": "20080"}]},
        "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data"}, {"Type": "tmpfs", "Target": "/run"}],
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
    },
}
SERVICE = {
    "Name": "api",
    "TaskTemplate": {
        "ContainerSpec": {"Image": "alpine:latest", "Command": ["sleep"], "Args": ["9"]},
        "Networks": [{"Target": "back", "Aliases": ["x"]}],
        "Resources": {"Limits": {"MemoryBytes": 1 << 26}},
        "Placement": {"Constraints": ["node.hostname == h1"]},
    },
    "Mode": {"Replicated": {"Replicas": 2}},
    "EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 20081}]},
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator["Client"]:
    with served(rig_routes, tmp_path) as engine:
        yield Client(engine.socket)


class Client:
    """Sends requests, and notes what is not as described.

    Attributes:
        faults: of all answers until now.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.faults: list[str] = []

    def send(self, method: str, target: str, body: object = None) -> Any:
        """The document of the answer; its text where it is none."""
        content = b"" if body is None else json.dumps(body).encode()
        status, headers, answer = raw_http.request(self._socket, method, target, body=content)
        document = self._document(headers, answer)
        operation = API.find(method, re.sub(r"^/v[0-9.]+", "", target.partition("?")[0]))
        for one in document if isinstance(document, Lines) else [document]:
            found = API.faults(operation, status, one)
            self.faults += [f"{method} {target}: {each}" for each in found if (operation.name, each) not in EXPLAINED]
        return document

    def _document(self, headers: dict[str, str], answer: bytes) -> Any:
        if headers.get("content-type") != "application/json":
            return answer.decode(errors="replace")
        document = raw_http.document(headers, answer)
        is_lines = isinstance(document, dict) and document.keys() == {"lines"}
        return Lines(document["lines"]) if is_lines else document


class Lines(list[Any]):
    """Documents of a stream."""


def test_the_system(client: Client) -> None:
    for path in ("/_ping", "/version", "/info", "/system/df", "/plugins", "/swarm", "/swarm/unlockkey"):
        client.send("GET", path)
    client.send("POST", "/build/prune")
    client.send("POST", "/swarm/init", {"ListenAddr": "0.0.0.0"})
    client.send("POST", "/swarm/leave")
    client.send("POST", "/plugins/nosuch/enable?timeout=0")
    client.send("GET", "/plugins/nosuch/json")
    assert not client.faults, "\n".join(client.faults)


def test_containers(client: Client) -> None:
    client.send("POST", "/containers/create?name=web", CONTAINER)
    for method, path in (
        ("POST", "/containers/web/start"),
        ("POST", "/containers/web/start"),
        ("GET", "/containers/json?all=1&size=1"),
        ("GET", "/containers/web/json?size=1"),
        ("GET", "/containers/web/top"),
        ("GET", "/containers/web/changes"),
        ("GET", "/containers/web/stats?stream=0&one-shot=1"),
        ("HEAD", "/containers/web/archive?path=/tmp/h"),
        ("GET", "/containers/nosuch/archive?path=/tmp/h"),
        ("POST", "/containers/web/pause"),
        ("POST", "/containers/web/pause"),
        ("POST", "/containers/web/unpause"),
        ("POST", "/containers/web/rename?name=web2"),
        ("POST", "/containers/web2/rename?name=web"),
        ("POST", "/containers/web/restart?t=0"),
        ("POST", "/containers/web/stop?t=0"),
        ("POST", "/containers/web/stop"),
        ("POST", "/containers/web/kill"),
        ("POST", "/containers/web/wait"),
        ("GET", "/containers/json?all=1&filters=%7B%22status%22%3A%5B%22nosuch%22%5D%7D"),
        ("DELETE", "/containers/web"),
        ("DELETE", "/containers/web"),
        ("POST", "/containers/prune"),
    ):
        client.send(method, path)
    client.send("POST", "/containers/create", {"Image": "nosuch"})
    client.send("POST", "/containers/create", {"Image": "alpine", "HostConfig": {"NanoCpus": "x"}})
    assert not client.faults, "\n".join(client.faults)


def test_commands(client: Client) -> None:
    client.send("POST", "/containers/create?name=web", {"Image": "alpine", "Cmd": ["sleep", "9"]})
    client.send("POST", "/containers/web/exec", {"Cmd": ["exit", "3"]})
    client.send("POST", "/containers/web/start")
    found = client.send("POST", "/containers/web/exec", {"Cmd": ["exit", "3"], "AttachStdout": True, "User": "nobody"})
    client.send("GET", f"/exec/{found['Id']}/json")
    client.send("POST", f"/exec/{found['Id']}/start", {"Detach": True})
    client.send("GET", f"/exec/{found['Id']}/json")
    client.send("POST", f"/exec/{found['Id']}/start", {"Detach": True})
    client.send("GET", "/exec/nosuch/json")
    client.send("POST", "/containers/web/exec", {})
    assert not client.faults, "\n".join(client.faults)


def test_networks_and_volumes(client: Client) -> None:
    network = {"Name": "front", "Labels": {"a": "b"}, "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}}
    client.send("POST", "/networks/create", network)
    client.send("POST", "/networks/create", network)
    client.send("POST", "/volumes/create", {"Name": "data", "DriverOpts": {}})
    client.send("POST", "/containers/create?name=web", CONTAINER)
    client.send("POST", "/containers/web/start")
    client.send("POST", "/networks/front/connect", {"Container": "web", "EndpointConfig": {"Aliases": ["w"]}})
    for method, path in (
        ("GET", "/networks"),
        ("GET", "/networks/front?verbose=1"),
        ("GET", "/networks/bridge"),
        ("GET", "/networks/nosuch"),
        ("GET", "/containers/web/json"),
        ("DELETE", "/networks/front"),
        ("DELETE", "/networks/host"),
        ("GET", "/volumes"),
        ("GET", "/volumes/data"),
        ("GET", "/volumes/nosuch"),
        ("DELETE", "/volumes/data"),
        ("GET", "/system/df"),
        ("POST", "/networks/prune"),
        ("POST", "/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D"),
    ):
        client.send(method, path)
    client.send("POST", "/networks/front/disconnect", {"Container": "web"})
    client.send("POST", "/networks/front/disconnect", {"Container": "web"})
    client.send("DELETE", "/networks/front")
    assert not client.faults, "\n".join(client.faults)


def test_images(client: Client) -> None:
    for method, path in (
        ("GET", "/images/json?all=1&shared-size=1"),
        ("GET", "/images/alpine/json"),
        ("GET", "/images/alpine/history"),
        ("GET", "/distribution/alpine/json"),
        ("POST", "/images/alpine/tag?repo=team/web&tag=1"),
        ("GET", "/images/team/web:1/json"),
        ("DELETE", "/images/team/web:1"),
        ("DELETE", "/images/team/web:1"),
        ("GET", "/images/nosuch/json"),
        ("POST", "/images/prune"),
        ("DELETE", "/images/alpine"),
    ):
        client.send(method, path)
    assert not client.faults, "\n".join(client.faults)


def test_names_of_images_are_filtered_by_a_parameter_before_1_41(client: Client) -> None:
    assert len(client.send("GET", "/v1.40/images/json?filter=alpine")) == 1
    assert client.send("GET", "/v1.40/images/json?filter=nosuch") == []
    assert len(client.send("GET", "/v1.41/images/json?filter=nosuch")) == 1


def test_the_swarm_side(client: Client) -> None:
    (node, *_) = client.send("GET", "/nodes")
    secret = client.send("POST", "/secrets/create", {"Name": "key", "Data": "eA==", "Labels": {"a": "b"}})
    config = client.send("POST", "/configs/create", {"Name": "conf", "Data": "eA=="})
    client.send("POST", "/networks/create", {"Name": "back", "Driver": "overlay", "Attachable": True})
    service = client.send("POST", "/services/create", SERVICE)
    for method, path in (
        ("GET", f"/nodes/{node['ID']}"),
        ("GET", "/nodes/nosuch"),
        ("GET", "/secrets"),
        ("GET", "/secrets/key"),
        ("GET", f"/configs/{config['ID']}"),
        ("GET", "/configs"),
        ("GET", "/services?status=1"),
        ("GET", "/services/api?insertDefaults=1"),
        ("GET", "/services/nosuch"),
        ("GET", "/tasks"),
        ("GET", "/tasks/nosuch"),
        ("DELETE", f"/secrets/{secret['ID']}"),
        ("DELETE", "/configs/nosuch"),
    ):
        client.send(method, path)
    wait_until(lambda: bool(client.send("GET", "/tasks")))
    (task, *_) = client.send("GET", "/tasks")
    client.send("GET", f"/tasks/{task['ID']}")
    version = client.send("GET", "/services/api")["Version"]["Index"]
    client.send("POST", f"/services/{service['ID']}/update?version={version}", SERVICE | {"Labels": {"a": "c"}})
    client.send("POST", f"/services/{service['ID']}/update?version=1", SERVICE)
    client.send("POST", f"/nodes/{node['ID']}/update?version={node['Version']['Index']}", node["Spec"])
    client.send("DELETE", "/services/api")
    client.send("POST", "/swarm/leave?force=1")
    client.send("GET", "/services")
    client.send("GET", "/swarm")
    assert not client.faults, "\n".join(client.faults)
