"""The recorded conversations, played against the engine: status, headers, keys and types.

What differs is in `EXPLAINED`, with the reason; the engine's README has the same list.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engine.rig import raw_http
from tests.contract.engine.rig.docker_cli import wait_until
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.recorded_calls import RecordedCall, differences, recorded
from tests.contract.engine.rig.served import served

EXPLAINED: dict[str, tuple[str, ...]] = {
    # No containerd; memory of TCP is of cgroup version 1.
    "58-info-swarm": (".Containerd", ".KernelMemoryTCP"),
    # The nodes of the test have no managers on their hosts.
    "60-node-ls": ("[].ManagerStatus",),
    "57-swarm-init": (".ManagerStatus",),
    # The first one recorded is another service; images of the test say no platforms.
    "71-service-ls": ("[]",),
    "73-service-inspect": (".Spec.TaskTemplate.Placement.Platforms",),
    "63-node-ps": ("[].Spec.Placement.Platforms",),
    # The recorded host has cgroup version 1; these are not of version 2.
    "23-stats": (
        ".cpu_stats.cpu_usage.percpu_usage",
        ".precpu_stats.cpu_usage.percpu_usage",
        ".memory_stats.max_usage",
    ),
    # Where the container is, as classic Swarm had it.
    "16-port": (".Node",),
    # Values: images with labels; there was something to remove then.
    "55-system-df": (".Images[].Labels",),
    "90-system-prune": (".ImagesDeleted", ".CachesDeleted", ".NetworksDeleted"),
}
SWITCHING = 101
FRAMING = {"Content-Length", "Transfer-Encoding"}
"""Docker sends short documents with their length and long ones in chunks."""


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    with served(rig_routes, tmp_path) as engine:
        yield engine.socket


class Player:
    """Plays recorded calls one after another.

    Attributes:
        ids: of what was created, in place of recorded ones.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.found: list[str] = []

    def play(self, call: RecordedCall, path: str = "") -> Any:
        """One call; its differences are noted. The document of the answer.

        Args:
            path: in place of the recorded one.
        """
        body = json.dumps(call.request).encode() if call.request is not None else b""
        status, headers, answer = raw_http.request(
            self._socket, call.method, path or call.path, body=body, upgrade=call.status == SWITCHING
        )
        if status != call.status:
            self.found.append(
                f"{call.name} {call.method} {call.path}: status {call.status} recorded, {status} here: {answer[:300]!r}"
            )
            return None
        names = {name.lower() for name in call.headers if name not in FRAMING}
        self.found += [f"{call.name}: header {name} is missing" for name in sorted(names - headers.keys())]
        if call.content_type and headers.get("content-type") != call.content_type:
            self.found.append(f"{call.name}: content type {headers.get('content-type')}")
        if call.response is None:
            return None
        document = raw_http.document(headers, answer)
        explained = EXPLAINED.get(call.name, ())
        self.found += [
            f"{call.name} {each}"
            for each in differences(call.response, document)
            if not any(each.startswith(known) for known in explained)
        ]
        return document


def test_the_containers_side_is_as_recorded(socket: Path) -> None:
    player = Player(socket)
    for name, path in (
        ("01-version", "/_ping"),
        ("01-version", "/version"),
        ("58-info-swarm", "/info"),
        ("03-ps", "/containers/json"),
        ("08-volume-create", ""),
        ("09-volume-ls", ""),
        ("10-net-create", ""),
        ("11-net-ls", ""),
        ("12-net-inspect", ""),
        ("05-images", "/images/json"),
        ("06-image-inspect", "/images"),
    ):
        player.play(recorded(name, path))
    player.play(recorded("51-history", "/history"), "/v1.50/images/alpine/history")
    created = player.play(recorded("14-run-d-p", "/containers/create"))
    player.play(recorded("13-run-rm", "/start"), f"/v1.50/containers/{created['Id']}/start")
    for name, path in (
        ("04-ps-a", "/containers/json"),
        ("16-port", "/json"),
        ("22-top", "/top"),
        ("23-stats", "/stats"),
        ("28-diff", "/changes"),
        ("29-pause", "/pause"),
        ("30-unpause", "/unpause"),
        ("31-restart", "/restart"),
        ("32-update", "/update"),
    ):
        player.play(recorded(name, path))
    assert not player.found, "\n".join(player.found)


def test_commands_files_and_ends_are_as_recorded(socket: Path) -> None:
    player = Player(socket)
    for name in ("08-volume-create", "10-net-create"):
        player.play(recorded(name, "/v1.50/"))
    created = player.play(recorded("14-run-d-p", "/containers/create"))
    player.play(recorded("13-run-rm", "/start"), f"/v1.50/containers/{created['Id']}/start")
    exec_id = player.play(recorded("19-exec", "/containers/c1/exec"))["Id"]
    player.play(recorded("19-exec", "/start"), f"/v1.50/exec/{exec_id}/start")
    player.play(recorded("25-cp-to", "/archive", "PUT"))
    player.play(recorded("26-cp-from", "/archive", "GET"))
    player.play(recorded("33-rename", "/rename"))
    player.play(recorded("34-kill", "/kill"), "/v1.50/containers/c1b/kill")
    player.play(recorded("35-wait", "/wait"), "/v1.50/containers/c1b/wait")
    player.play(recorded("36-start", "/start"), "/v1.50/containers/c1b/start")
    player.play(recorded("37-stop", "/stop"), "/v1.50/containers/c1b/stop?t=0")
    player.play(recorded("39-rm", "/containers/"), "/v1.50/containers/c1b?force=1")
    for path in ("/containers/prune", "/networks/prune", "/images/prune", "/build/prune"):
        player.play(recorded("90-system-prune", path))
    player.play(recorded("55-system-df", "/system/df"))
    assert not player.found, "\n".join(player.found)


def tasks_run(socket: Path) -> bool:
    """Whether the planner has made tasks, and nodes run them."""
    _, headers, answer = raw_http.request(socket, "GET", "/v1.50/tasks")
    found = raw_http.document(headers, answer)
    return bool(found) and all(each["Status"]["State"] == "running" for each in found)


def test_the_swarm_side_is_as_recorded(socket: Path) -> None:
    player = Player(socket)
    (node, *_) = player.play(recorded("60-node-ls", "/nodes"))
    player.play(recorded("57-swarm-init", "/nodes/"), f"/v1.50/nodes/{node['ID']}")
    player.play(recorded("57-swarm-init", "/v1.50/swarm", "GET"))
    secret = player.play(recorded("65-secret-create", "/create"))
    player.play(recorded("66-secret-ls", "/secrets"))
    config = player.play(recorded("67-config-create", "/create"))
    player.play(recorded("68-config-inspect", "/configs"))
    player.play(recorded("64-net-create-overlay", "/create"))
    create = recorded("69-service-create", "/services/create")
    assert create.request is not None
    container = create.request["TaskTemplate"]["ContainerSpec"]
    container["Secrets"][0]["SecretID"], container["Configs"][0]["ConfigID"] = secret["ID"], config["ID"]
    container["Image"] = "alpine:latest"
    create.request["TaskTemplate"]["Networks"] = [{"Target": "ov1"}]
    player.play(create)
    player.play(recorded("71-service-ls", "/services"))
    player.play(recorded("73-service-inspect", "/services/web"))
    wait_until(lambda: tasks_run(socket))
    player.play(recorded("63-node-ps", "/tasks"), "/v1.50/tasks")
    player.play(recorded("80-service-rm", "/services/web"), "/v1.50/services/web")
    assert not player.found, "\n".join(player.found)


def test_errors_are_as_recorded(socket: Path) -> None:
    player = Player(socket)
    player.play(recorded("15-run-missing", "/containers/create"))
    assert not player.found, "\n".join(player.found)
