"""Streams of a whole cluster: bytes are exact at any pace, and clients that leave, in whatever way, leave nothing."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from docker.types import LogConfig

from engine.protocol.frames import Output, split_frames
from tests.contract.engine.rig import raw_http
from tests.integration.engine.conftest import HELLO, EngineCluster

MEGABYTE = 1_000_000


@pytest.fixture
def client(engine: EngineCluster) -> Iterator[docker.DockerClient]:
    with engine.client() as client:
        yield client


def sleeper(engine: EngineCluster, client: docker.DockerClient) -> Container:
    """A container that runs, on the last host."""
    where = [f"constraint:node=={engine.node}"]
    return client.containers.run(HELLO, ["sleep", "1000"], detach=True, environment=where)


def hijack(engine: EngineCluster, path: str, body: object = None) -> socket.socket:
    """A connection that was taken over, after the head of the answer."""
    connection = raw_http.connect(engine.cluster.layout.engine_socket)
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: docker", "Connection: Upgrade", "Upgrade: tcp"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"] if content else []
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # and no byte more: the output may come with it
        byte = connection.recv(1)
        assert byte, head
        head += byte
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


def start_exec(engine: EngineCluster, client: docker.DockerClient, box: Container, *command: str) -> socket.socket:
    """A command with input and both outputs."""
    identifier = client.api.exec_create(box.id, list(command), stdin=True)["Id"]
    return hijack(engine, f"/exec/{identifier}/start", {"Detach": False, "Tty": False})


def processes(engine: EngineCluster) -> list[int]:
    """The engine, the manager, and the agent of the last host."""
    playground = engine.cluster.playground
    return [playground.pid(name) for name in ("engine", "manager", engine.node)]


def descriptors(engine: EngineCluster) -> list[int]:
    """How many each of them has open."""
    return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in processes(engine)]


def resident_mb(engine: EngineCluster) -> list[float]:
    found = []
    for pid in processes(engine):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found.append(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024)
    return found


def outputs(data: bytes) -> bytes:
    return b"".join(each for output, each in split_frames(data) if output is Output.STDOUT)


@pytest.mark.parametrize("pause", [0.0, 0.002], ids=["quick", "slow"])
def test_output_of_a_new_container_is_whole_at_any_pace(
    engine: EngineCluster, client: docker.DockerClient, pause: float
) -> None:
    """The program writes far faster than that, and the answer to wait does not overtake the output."""
    script = "head -c 12000000 /dev/urandom > /file; sha256sum /file >&2; cat /file"
    container = client.containers.create(HELLO, ["sh", "-c", script])
    received = bytearray()
    with closing(hijack(engine, f"/containers/{container.id}/attach?stream=1&stdout=1&stderr=1")) as attached:
        attached.shutdown(socket.SHUT_WR)
        container.start()
        while piece := attached.recv(20_000):
            received += piece
            time.sleep(pause)
    frames = split_frames(bytes(received))
    written = b"".join(data for output, data in frames if output is Output.STDOUT)
    reported = b"".join(data for output, data in frames if output is Output.STDERR)
    assert len(written) == 12 * MEGABYTE
    assert reported.split()[0].decode() == sha256(written).hexdigest()


def test_binary_input_of_a_command_comes_back_whole(engine: EngineCluster, client: docker.DockerClient) -> None:
    box, data = sleeper(engine, client), os.urandom(3 * MEGABYTE)
    with closing(start_exec(engine, client, box, "sh", "-c", "cat > /file; sleep 0.5; cat /file")) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert outputs(raw_http.read_all(connection)) == data


@pytest.mark.parametrize("way", ["closed", "half-closed first", "killed in the middle of output"])
def test_a_command_ends_when_its_client_leaves(engine: EngineCluster, client: docker.DockerClient, way: str) -> None:
    box = sleeper(engine, client)
    program = ["sh", "-c", "yes"] if way.startswith("killed") else ["sleep", "987"]
    connection = start_exec(engine, client, box, *program)
    engine.cluster.until(lambda: len(_commands(box)) > 1, "the command runs")
    if way == "half-closed first":
        connection.shutdown(socket.SHUT_WR)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    engine.cluster.until(lambda: _commands(box) == ["sleep 1000"], "the command has ended")


def _commands(box: Container) -> list[str]:
    return [str(row[-1]) for row in box.top()["Processes"]]


def test_clients_that_leave_leave_no_stream_anywhere(engine: EngineCluster, client: docker.DockerClient) -> None:
    box = sleeper(engine, client)
    path = f"/containers/{box.id}"
    box.reload()
    before = descriptors(engine)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(closing(hijack(engine, f"{path}/attach?stream=1&stdout=1")))
            for target in (f"{path}/logs?follow=1&stdout=1", f"{path}/stats", "/events"):
                stack.enter_context(closing(_request(engine, "GET", target)))
            stack.enter_context(closing(_request(engine, "POST", f"{path}/wait")))
        during = descriptors(engine)
    most = [then + 2 for then in before]
    most[0] = min(most[0], during[0] - 25 + 2)  # each stream was a connection to the engine
    engine.cluster.until(
        lambda: all(now <= bound for now, bound in zip(descriptors(engine), most, strict=True)),
        "all streams have ended",
    )


def _request(engine: EngineCluster, method: str, target: str) -> socket.socket:
    """A request whose answer goes on; its head has been read."""
    connection = raw_http.connect(engine.cluster.layout.engine_socket)
    connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
    assert raw_http.read_head(connection)[0].startswith(b"HTTP/1.1 200 ")
    return connection


def test_a_client_that_does_not_read_a_large_log_holds_nothing(
    engine: EngineCluster, client: docker.DockerClient
) -> None:
    text, large = "x" * 99, LogConfig(type="json-file", config={"max-size": "1g"})
    box = client.containers.run(
        HELLO,
        ["sh", "-c", f"yes {text} | head -c 60000000"],
        detach=True,
        log_config=large,
    )
    assert box.wait(timeout=150)["StatusCode"] == 0
    assert box.logs(tail=1) == f"{text}\n".encode()
    before = resident_mb(engine)
    with closing(_request(engine, "GET", f"/containers/{box.id}/logs?stdout=1")) as slow:
        time.sleep(1)
        assert client.ping() and client.containers.list(all=True)
        assert client.containers.run(HELLO, ["echo", "quick"], remove=True) == b"quick\n"
        grown = [now - then for now, then in zip(resident_mb(engine), before, strict=True)]
        assert max(grown) < 25, grown
        slow.shutdown(socket.SHUT_WR)
    assert box.logs(tail=1) == f"{text}\n".encode()


def test_a_client_that_reads_nothing_does_not_hold_the_program(
    engine: EngineCluster, client: docker.DockerClient
) -> None:
    """It is detached after ten seconds."""
    container = client.containers.create(HELLO, ["sh", "-c", "head -c 20000000 /dev/zero; exit 3"])
    with closing(hijack(engine, f"/containers/{container.id}/attach?stream=1&stdout=1")):
        container.start()
        assert container.wait(timeout=150)["StatusCode"] == 3
