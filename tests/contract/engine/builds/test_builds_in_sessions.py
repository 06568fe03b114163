"""`POST /build` of version 2, as Docker's command line before 23.0 builds: a session beside a request of HTTP."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from engine.buildkit.v1.control_pb2 import StatusResponse
from tests.contract.engine.builds.build_node import IMAGE_ID, STEP_ERROR, BuildNode
from tests.contract.engine.builds.buildkit_client import BuildkitClient
from tests.contract.engine.builds.served_buildkit import served_buildkit
from tests.contract.engine.builds.session_services import ResultReceiver, SyncedDirectory, serving
from tests.contract.engine.rig.docker_cli import wait_until
from tests.contract.engine.rig.raw_http import request
from tests.contract.engine.rig.served import Served

SESSION = "s2"


@pytest.fixture
def node() -> BuildNode:
    return BuildNode()


@pytest.fixture
def engine(node: BuildNode, tmp_path: Path) -> Iterator[Served]:
    with served_buildkit(node, tmp_path) as found:
        yield found


def context_of(directory: Path, *steps: str) -> dict[str, Path]:
    context = directory / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text("\n".join(steps) + "\n")
    return {"context": context, "dockerfile": context}


def target(**query: str) -> str:
    return "/v1.41/build?" + urlencode({"version": "2", "session": SESSION, "buildid": "b1"} | query)


async def post(engine: Served, path: str, body: bytes = b"") -> tuple[int, list[dict[str, Any]]]:
    status, _, data = await asyncio.to_thread(request, engine.socket, "POST", path, body=body)
    return status, [json.loads(line) for line in data.splitlines() if line.startswith(b"{")]  # the rest are chunks


def build(
    engine: Served, directories: dict[str, Path], *services: Any, **query: str
) -> tuple[list[dict[str, Any]], StatusResponse]:
    """The lines of the answer, and the progress in them."""

    async def run() -> list[dict[str, Any]]:
        client = BuildkitClient(engine.socket)
        async with asyncio.timeout(60), client.session(SESSION, *serving(SyncedDirectory(directories)), *services):
            status, lines = await post(engine, target(remote="client-session", **query))
            assert status == 200
            return lines

    progress, rest = StatusResponse(), []
    for line in asyncio.run(run()):
        if line.get("id") == "moby.buildkit.trace":
            progress.MergeFromString(base64.b64decode(line["aux"]))
        else:
            rest.append(line)
    return rest, progress


def test_an_image_is_built(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    lines, progress = build(engine, context_of(tmp_path, "FROM alpine", "RUN echo hi"), t="web:1", q="1")
    assert lines == [{"id": "moby.image.id", "aux": {"ID": IMAGE_ID}}, {"stream": f"{IMAGE_ID}\n"}]
    assert list(node.starts[0].names) == ["docker.io/library/web:1"]
    assert "[2/2] RUN echo hi" in {each.name for each in progress.vertexes}
    assert [each.msg for each in progress.logs] == [b"hi\n"]


def test_a_failure_is_the_last_line(engine: Served, tmp_path: Path) -> None:
    lines, progress = build(engine, context_of(tmp_path, "FROM alpine", "RUN false"))
    assert lines[-1]["error"] == f"failed to solve: {STEP_ERROR}"
    assert STEP_ERROR in {each.error for each in progress.vertexes}


def test_results_go_to_the_client(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    node.result = b"archive"
    receiver = ResultReceiver(is_directory=False)
    outputs = json.dumps([{"Type": "tar", "Attrs": {}}])
    build(engine, context_of(tmp_path, "FROM scratch"), receiver.add_to, outputs=outputs, t="a")
    assert bytes(receiver.data) == b"archive"
    assert not node.starts[0].names


def test_the_context_may_come_by_a_request_of_its_own(engine: Served, node: BuildNode) -> None:
    async def run() -> None:
        client = BuildkitClient(engine.socket)
        async with asyncio.timeout(60), client.session(SESSION):
            building = asyncio.create_task(post(engine, target(remote="upload-request")))
            upload = urlencode({"version": "2", "buildid": "upload-request:b1"})
            assert (await post(engine, f"/build?{upload}", b"x" * 100_000))[0] == 200
            status, lines = await building
            assert (status, lines[-1]["aux"]) == (200, {"ID": IMAGE_ID})

    asyncio.run(run())
    assert bytes(node.contexts[""]) == b"x" * 100_000


def test_the_context_may_be_the_body_of_the_request_itself(engine: Served, node: BuildNode) -> None:
    async def run() -> None:
        client = BuildkitClient(engine.socket)
        async with asyncio.timeout(60), client.session(SESSION):
            status, lines = await post(engine, target(dockerfile="other"), b"x" * 3_000_000)
            assert (status, lines[-1]["aux"]) == (200, {"ID": IMAGE_ID})

    asyncio.run(run())
    assert bytes(node.contexts[""]) == b"x" * 3_000_000
    assert node.starts[0].dockerfile == "other"


def test_a_build_is_cancelled_by_its_id(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    directories = context_of(tmp_path, "FROM alpine", "COPY . /", "RUN sleep")

    async def run() -> None:
        client = BuildkitClient(engine.socket)
        async with asyncio.timeout(60), client.session(SESSION, *serving(SyncedDirectory(directories))):
            building = asyncio.create_task(post(engine, target(remote="client-session")))
            await asyncio.to_thread(wait_until, lambda: bool(node.lists))
            assert (await post(engine, "/build/cancel?id=b1"))[0] == 204
            assert (await building)[1][-1]["error"] == "context canceled"
            assert (await post(engine, "/build/cancel?id=b1"))[0] == 404

    asyncio.run(run())
    assert node.ended == 1


def test_a_build_without_a_session_is_refused(engine: Served) -> None:
    assert request(engine.socket, "POST", "/build?version=2&buildid=a")[0] == 400
