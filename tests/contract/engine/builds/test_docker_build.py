"""The docker command line builds with the classic builder's protocol: a real client over a node that is made up."""

import io
import json
import os
import re
import tarfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from engine.cluster.home_node import HomeNode
from engine.handlers.images.build_handlers import BuildHandlers
from engine.handlers.images.buildkit_handlers import BuildkitHandlers
from engine.handlers.ping import ping_routes
from engine.handlers.restrictions import Restrictions
from engine.server.callers import local_caller
from engine.server.routes import RouteTable
from shoal.api.v1.builds_pb2 import (
    BuildFailure,
    BuildInput,
    BuildOutput,
    BuildPlace,
    BuildPlan,
    BuildResult,
    BuildStart,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
    Vertex,
    VertexLog,
    VertexStatus,
)
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.identity.roles import Role
from shoal.manager_calls.managers import Managers
from tests.contract.engine.rig.docker_cli import docker, environment_of, wait_until
from tests.contract.engine.rig.raw_http import connect, document, request
from tests.contract.engine.rig.recorded_calls import recorded
from tests.contract.engine.rig.served import Served, served

R = TypeVar("R")
ID = "sha256:" + "ce97028c0035" + "0" * 52


class Node(Managers):
    """Managers with one node: what a build prints and how it ends is said by its Dockerfile."""

    def __init__(self) -> None:
        self.starts: list[BuildStart] = []
        self.contexts: list[bytes] = []
        self.prunes: list[PruneBuildCacheRequest] = []
        self.ended = 0
        untyped: Any = self
        untyped.builds = SimpleNamespace(Build=self._build, PruneBuildCache=self._prune)

    async def call(self, method: Callable[..., Awaitable[R]], request: object, *, seconds: float | None = None) -> R:
        return await method(request)

    async def stream(self, method: Callable[..., AsyncIterable[R]], request: object) -> AsyncGenerator[R]:
        async for answer in method(request):
            yield answer

    async def _prune(self, request: PruneBuildCacheRequest) -> PruneBuildCacheResponse:
        self.prunes.append(request)
        return PruneBuildCacheResponse(ids=["a", "b"], reclaimed_bytes=1_500_000)

    async def _build(self, messages: AsyncIterator[BuildInput]) -> AsyncIterator[BuildOutput]:
        try:
            async for output in self._outputs(messages):
                yield output
        finally:
            self.ended += 1

    async def _outputs(self, messages: AsyncIterator[BuildInput]) -> AsyncIterator[BuildOutput]:
        start = (await anext(aiter(messages))).start
        self.starts.append(start)
        if start.target == "early":
            raise InvalidInput("the stage early is missing")
        yield BuildOutput(place=BuildPlace(node_id="n1"))
        context = bytearray()
        async for message in messages:
            if message.HasField("end_context"):
                break
            context += message.context
        self.contexts.append(bytes(context))
        with tarfile.open(fileobj=io.BytesIO(context)) as archive:
            content = archive.extractfile(start.dockerfile or "Dockerfile")
            assert content is not None
            steps = content.read().decode().splitlines()
        if "missing" in steps[0]:
            raise NotFound("pull access denied for missing, repository does not exist or may require 'docker login'")
        yield BuildOutput(plan=_plan(steps))
        for number, step in enumerate(steps, start=1):
            yield _status(number, started=True)
            if step.startswith("RUN echo") and ">" not in step:
                yield BuildOutput(log=VertexLog(id=f"v{number}", stream=1, data=step[9:].encode() + b"\n"))
            if step == "RUN false":
                yield BuildOutput(failure=BuildFailure(vertex_id=f"v{number}", exit_code=1))
                raise Refused('process "/bin/sh -c false" did not complete successfully: exit code: 1')
            yield _status(number, started=True, ended=True)
        yield BuildOutput(result=BuildResult(image_id=ID, names=start.names))


def _plan(steps: list[str]) -> BuildPlan:
    return BuildPlan(
        vertices=[
            Vertex(id=f"v{number}", step=number, steps=len(steps), instruction=step)
            for number, step in enumerate(steps, start=1)
        ]
    )


def _status(number: int, *, started: bool = False, ended: bool = False) -> BuildOutput:
    status = VertexStatus(id=f"v{number}", started_at_ms=int(started), completed_at_ms=2 * ended)
    if ended:
        status.image_id = f"sha256:{number:012d}"
    return BuildOutput(vertex=status)


async def _is_never_active() -> bool:
    return False


async def _no_container(name: str) -> ContainerView:
    raise NotFound(f"No such container: {name}")


async def _network_name(name: str) -> str:
    raise NotFound(f"network {name} not found")


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def engine(node: Node, tmp_path: Path) -> Iterator[Served]:
    handlers = BuildHandlers(
        node,
        HomeNode(node, "none"),
        restrictions=Restrictions({"host-network"}, _no_container),
        network_name=_network_name,
        in_session=BuildkitHandlers(
            node, HomeNode(node, "none"), restrictions=Restrictions(set(), _no_container)
        ).build,
    )

    @asynccontextmanager
    async def routes() -> AsyncGenerator[RouteTable]:
        yield RouteTable([*ping_routes(is_swarm_active=_is_never_active), *handlers.routes()])

    with served(routes, tmp_path, local=local_caller(Role.ENGINE)) as found:
        yield found


@pytest.fixture(params=[False, True], ids=["unix", "tls"])
def environment(engine: Served, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    return environment_of(engine, tmp_path, tls=request.param) | {"DOCKER_BUILDKIT": "0"}


def context_of(directory: Path, *steps: str) -> str:
    (directory / "ctx").mkdir()
    (directory / "ctx" / "Dockerfile").write_text("\n".join(steps) + "\n")
    (directory / "ctx" / "f").write_text("f\n")
    (directory / "ctx" / "skip").write_text("skip\n")
    (directory / "ctx" / ".dockerignore").write_text("skip\n")
    return str(directory / "ctx")


def test_build_prints_what_docker_was_recorded_with(node: Node, environment: dict[str, str], tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM alpine", "ARG A=1", "RUN echo built", "COPY f /f", "CMD cat /b")
    arguments = (
        "build",
        "-t",
        "b2",
        "--build-arg",
        "A=2",
        "--label",
        "k=v",
        "--iidfile",
        str(tmp_path / "iid"),
        context,
    )
    ran = docker(environment, *arguments)
    assert ran.returncode == 0, ran.stderr
    shown = re.sub(r"container [0-9a-f]{12}|in [0-9a-f]{12}", "X", ran.stdout.decode())
    assert shown[shown.index("Step 1/6") :].splitlines() == [
        "Step 1/6 : FROM alpine",
        " ---> 000000000001",
        "Step 2/6 : ARG A=1",
        " ---> Running X",
        " ---> Removed intermediate X",
        " ---> 000000000002",
        "Step 3/6 : RUN echo built",
        " ---> Running X",
        "built",
        " ---> Removed intermediate X",
        " ---> 000000000003",
        "Step 4/6 : COPY f /f",
        " ---> 000000000004",
        "Step 5/6 : CMD cat /b",
        " ---> Running X",
        " ---> Removed intermediate X",
        " ---> 000000000005",
        "Step 6/6 : LABEL k=v",
        " ---> Running X",
        " ---> Removed intermediate X",
        " ---> ce97028c0035",
        "Successfully built ce97028c0035",
        "Successfully tagged b2:latest",
    ]
    assert (tmp_path / "iid").read_text() == ID
    assert list(node.starts[0].names) == ["docker.io/library/b2:latest"]
    assert (dict(node.starts[0].build_args), dict(node.starts[0].labels)) == ({"A": "2"}, {"k": "v"})
    with tarfile.open(fileobj=io.BytesIO(node.contexts[0])) as archive:
        assert "f" in archive.getnames() and "skip" not in archive.getnames()


RECORDED_STEPS = ("FROM alpine", "ARG A=1", "RUN echo built > /b", "COPY f /f", "CMD cat /b")


RUNS = [{"stream": f" ---> {text} 000000000000\n"} for text in ("Running in", "Removed intermediate container")]


@pytest.mark.parametrize("name", ["40-build-default", "41-build-legacy"])
def test_recorded_builds_are_streamed_as_docker_does(engine: Served, name: str) -> None:
    call = recorded(name, "/build")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as context:
        content = "\n".join(RECORDED_STEPS).encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(content)
        context.addfile(entry, io.BytesIO(content))
    status, headers, body = request(engine.socket, call.method, call.path, body=archive.getvalue())
    assert (status, headers["content-type"]) == (call.status, call.content_type)
    lines = [_without_ids(line) for line in document(headers, body)["lines"]]
    expected: list[dict[str, Any]] = []
    for line in call.response["lines"]:  # an ARG has no work of its own: whether it was there is not known
        expected += RUNS if line == {"stream": " ---> Using cache\n"} else [_without_ids(line)]
    assert lines == expected


def _without_ids(line: dict[str, Any]) -> dict[str, Any]:
    """One object of the stream; identifiers keep their length alone."""
    found: dict[str, Any] = json.loads(re.sub(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b", _same_length, json.dumps(line)))
    return found


def _same_length(found: re.Match[str]) -> str:
    return "0" * len(found[0])


def test_a_command_that_fails_is_the_exit_code(environment: dict[str, str], tmp_path: Path) -> None:
    ran = docker(environment, "build", context_of(tmp_path, "FROM alpine", "RUN false"))
    assert ran.returncode == 1
    assert ran.stderr.decode().splitlines()[-1] == "The command '/bin/sh -c false' returned a non-zero code: 1"


def test_errors_before_the_first_step_are_answers(engine: Served, environment: dict[str, str], tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM missing")
    ran = docker(environment, "build", context)
    assert ran.returncode == 1 and b"pull access denied for missing" in ran.stderr
    (tmp_path / "ctx" / "large").write_bytes(os.urandom(40 << 20))
    ran = docker(environment, "build", "--target", "early", context)
    assert b"the stage early is missing" in ran.stderr, "although most of the context was not read yet"
    assert request(engine.socket, "POST", "/v1.50/build?t=A%20B")[0] == 400
    status, _, body = request(engine.socket, "POST", "/v1.50/build?version=3")
    assert status == 400 and b"invalid builder version" in body


def test_nothing_is_found_but_what_images_of_a_cache_have(
    node: Node, environment: dict[str, str], tmp_path: Path
) -> None:
    context = context_of(tmp_path, "FROM alpine")
    for options in ((), ("--cache-from", "known", "--cache-from", "nosuch")):
        assert docker(environment, "build", "-q", *options, context).returncode == 0
    assert [each.only_cache_from for each in node.starts] == [False, True]
    assert list(node.starts[1].cache_from) == ["known", "nosuch"]


def test_quiet_prints_the_id(environment: dict[str, str], tmp_path: Path) -> None:
    ran = docker(environment, "build", "-q", context_of(tmp_path, "FROM alpine", "RUN echo x"))
    assert ran.stdout.decode() == f"{ID}\n"


def test_what_is_forbidden_is_refused_before_a_node_is_asked(node: Node, engine: Served) -> None:
    status, _, body = request(engine.socket, "POST", "/v1.50/build?networkmode=host")
    assert status == 403 and b"the host's network is forbidden" in body
    assert request(engine.socket, "POST", "/v1.50/build?networkmode=mine")[0] == 404
    assert node.starts == []


def test_builds_are_pruned(node: Node, engine: Served) -> None:
    filters = quote('{"id": ["x"]}')
    status, _, body = request(engine.socket, "POST", f"/v1.50/build/prune?all=1&keep-storage=7&filters={filters}")
    assert (status, json.loads(body)) == (200, {"CachesDeleted": ["a", "b"], "SpaceReclaimed": 1_500_000})
    assert (node.prunes[0].all, node.prunes[0].keep_bytes, node.prunes[0].filters[0].value) == (True, 7, "x")


def test_a_client_that_goes_ends_the_build(node: Node, engine: Served) -> None:
    with connect(engine.socket) as client:
        client.sendall(
            b"POST /v1.50/build HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
        )
        wait_until(lambda: bool(node.starts))
    wait_until(lambda: node.ended == 1)
