"""BuildKit's API as a client has it that does what buildx does."""

import asyncio
import hashlib
import io
import json
import os
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from engine.buildkit.v1.control_pb2 import (
    DiskUsageRequest,
    Exporter,
    InfoRequest,
    ListWorkersRequest,
    PruneRequest,
    SolveRequest,
    StatusRequest,
)
from engine.buildkit.v1.control_pb2_grpc import ControlStub
from engine.buildkit.v1.fsutil_pb2 import Packet
from engine.buildkit.v1.gateway_pb2 import ReturnRequest
from engine.buildkit.v1.gateway_pb2_grpc import LLBBridgeStub
from engine.buildkit.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from engine.buildkit.v1.health_pb2_grpc import HealthStub
from shoal.identity.roles import Role
from shoal.manager_calls.acting_user import acting_for
from shoal.rpc.on_behalf import ActingUser, metadata_of
from tests.contract.engine.builds.build_node import CONFIG, DIGEST, IMAGE_ID, STEP_ERROR, BuildNode
from tests.contract.engine.builds.build_runs import context_of, of, run
from tests.contract.engine.builds.buildkit_client import BuildkitClient, error_details
from tests.contract.engine.builds.served_buildkit import served_buildkit
from tests.contract.engine.builds.session_services import (
    Auth,
    ResultReceiver,
    Secrets,
    SshAgent,
    SyncedDirectory,
    Upload,
    send_files,
    serving,
)
from tests.contract.engine.rig.served import Served


def test_progress_has_steps_output_and_warnings(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM alpine", "COPY . /", "RUN echo hello")
    solved = run(engine, of(context), exporter=Exporter(type="moby", attrs={"name": "web:1,web:2"}))
    names = {each.digest: each.name for each in solved.progress.vertexes}
    assert list(dict.fromkeys(names.values()))[:2] == [
        "[internal] load build definition from Dockerfile",
        "[internal] load .dockerignore",
    ]
    assert {"[1/3] FROM alpine", "[3/3] RUN echo hello", "[internal] load build context"} <= set(names.values())
    newest = {each.digest: each for each in solved.progress.vertexes}
    assert all(each.HasField("completed") and not each.error for each in newest.values())
    assert [(names[each.vertex], each.msg) for each in solved.progress.logs] == [("[3/3] RUN echo hello", b"hello\n")]
    warning = solved.progress.warnings[0]
    assert (warning.short, warning.url) == (b"FromAsCasing: casing differs (line 1)", "https://x/y")
    assert (warning.info.filename, warning.ranges[0].start.line) == ("Dockerfile", 1)
    transferred = {each.id: each.current for each in solved.progress.statuses}
    assert transferred["transferring dockerfile:"] == len((context / "Dockerfile").read_bytes())
    assert solved.response == {
        "containerimage.digest": DIGEST,
        "containerimage.config.digest": IMAGE_ID,
        "image.name": "docker.io/library/web:1,docker.io/library/web:2",
    }
    assert list(node.starts[0].names) == ["docker.io/library/web:1", "docker.io/library/web:2"]


def test_a_result_is_the_context_of_another_build(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM scratch")
    first = run(engine, of(context), exporter=Exporter(type="moby"))
    assert first.result.metadata["containerimage.config"] == CONFIG
    inputs = {"base": first.result.ref.definition}
    run(
        engine,
        of(context),
        {"context:base": "input:base"},
        inputs=inputs,
        exporter=Exporter(type="moby"),
    )
    assert dict(node.starts[1].contexts) == {"base": f"docker-image://docker.io/shoal/result@{DIGEST}"}


def test_a_failure_says_which_step_and_which_line(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM alpine", "RUN false")
    with pytest.raises(aio.AioRpcError) as caught:
        run(engine, of(context))
    assert (caught.value.code(), caught.value.details()) == (StatusCode.UNKNOWN, STEP_ERROR)
    details = {each.type_url.rpartition("/")[2]: json.loads(each.value) for each in error_details(caught.value).details}
    assert details["errdefs.Vertex+json"]["digest"].startswith("sha256:")
    source = details["errdefs.Source+json"]
    assert source["info"]["filename"] == "Dockerfile"
    assert source["ranges"] == [{"start": {"line": 2}, "end": {"line": 2}}]
    assert node.ended == 1


def test_results_go_into_one_file_of_the_client(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    node.result = os.urandom(3_000_000)
    receiver = ResultReceiver(is_directory=False)
    context = context_of(tmp_path, "FROM scratch")
    run(engine, of(context), services=(receiver.add_to,), exporter=Exporter(type="oci", attrs={"name": "a:1"}))
    assert bytes(receiver.data) == node.result
    assert node.starts[0].media_types == "oci"


def test_results_go_into_a_directory_of_the_client(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    node.result = archive_of(
        ("b/", None, ""),
        ("b/x", b"x" * 2_500_000, ""),
        ("a", b"a", ""),
        ("b.c", b"", ""),
        ("b/l", b"", "x"),
        ("é", b"e", ""),
    )
    receiver = ResultReceiver(is_directory=True)
    context = context_of(tmp_path, "FROM scratch")
    run(engine, of(context), services=(receiver.add_to,), exporter=Exporter(type="local"))
    assert [each.path for each in receiver.stats] == ["a", "b", "b/l", "b/x", "b.c", "é"]
    assert receiver.contents == {"a": b"a", "b/x": b"x" * 2_500_000, "b.c": b"", "é": b"e"}
    assert {each.path: each.linkname for each in receiver.stats if each.linkname} == {"b/l": "x"}


def archive_of(*entries: tuple[str, bytes | None, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content, link in entries:
            member = tarfile.TarInfo(name)
            member.size = len(content or b"")
            if content is None:
                member.type = tarfile.DIRTYPE
            elif link:
                member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member, io.BytesIO(content or b""))
    return data.getvalue()


def test_large_and_many_files_arrive_as_they_are(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM scratch", "COPY . /")
    (context / "large").write_bytes(os.urandom(20_000_000))
    for number in range(300):
        (context / f"n{number}").write_bytes(os.urandom(number * 100))
    (context / "ümlaut").write_text("u")
    (context / ("d" * 200)).mkdir()
    (context / ("d" * 200) / "deep").write_text("deep")
    run(engine, of(context))
    found = {path: hashlib.sha256(data).digest() for path, data in node.files().items()}
    here = {str(each.relative_to(context)): each for each in context.rglob("*") if each.is_file()}
    assert found == {name: hashlib.sha256(path.read_bytes()).digest() for name, path in here.items()}


def test_patterns_and_paths_are_sent_to_the_client(engine: Served, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM scratch", "COPY ./f sub/ü/*.txt /", "ADD /f https://x/y /x/")
    (context / ".dockerignore").write_text("# a\n/f\n\n!sub/ü\n")
    synced: list[SyncedDirectory] = []

    async def send(requests: AsyncIterator[Packet], directory: SyncedDirectory) -> AsyncGenerator[Packet]:
        synced.append(directory)
        async for packet in send_files(requests, directory):
            yield packet

    run(engine, of(context), send=send)
    asked = synced[0].asked
    assert [set(each.get("followpaths", [])) for each in asked] == [
        {"Dockerfile", "dockerfile", "Dockerfile.dockerignore"},
        {".dockerignore"},
        {"f", "sub%2F%C3%BC%2F%2A.txt"},
    ]
    assert asked[2]["exclude-patterns"] == ["f", "%21sub%2F%C3%BC"]
    assert asked[2]["exclude-patterns-encoded"] == ["1"]


def test_what_the_client_reads_is_the_context(engine: Served, node: BuildNode) -> None:
    archive = archive_of(("Dockerfile", b"FROM scratch\n", ""), ("f", b"f", ""))
    run(
        engine,
        {},
        {"context": "http://buildkit-session/in"},
        services=serving(Upload(archive)),
    )
    assert bytes(node.contexts[""]) == archive
    assert node.starts[0].dockerfile == "Dockerfile"


def test_secrets_and_credentials_are_asked_for_by_need(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(
        tmp_path, "FROM alpine", "COPY --from=r.example.com/x /a /a", "RUN --mount=type=secret,id=k true"
    )
    secrets = Secrets({"k": b"v", "other": b"o"})
    auth = Auth({"registry-1.docker.io": ("ada", "pw"), "r.example.com": ("", "token")})
    run(engine, of(context), services=serving(secrets, auth))
    assert node.secrets == {"k": b"v"}
    credentials = node.starts[0].credentials
    assert (credentials["docker.io"].username, credentials["docker.io"].password) == ("ada", "pw")
    assert credentials["r.example.com"].identity_token == "token"


def test_ssh_agents_of_the_client_answer_commands(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM alpine", "RUN --mount=type=ssh --mount=type=ssh,id=other git clone x")
    agent = SshAgent(b"keys")
    run(engine, of(context), services=serving(agent))
    assert list(node.starts[0].ssh_ids) == ["default"]
    assert bytes(agent.received) == b"\0\0\0\1\x0b"
    assert [(each.number, each.message) for each in node.replies] == [(3, b"keys")]


def test_checks_answer_as_a_subrequest(engine: Served, node: BuildNode, tmp_path: Path) -> None:
    context = context_of(tmp_path, "FROM scratch")
    solved = run(engine, of(context), {"requestid": "frontend.lint"}, internal=True)
    assert node.starts[0].check_only
    assert solved.result.metadata["result.statuscode"] == b"1"
    document = json.loads(solved.result.metadata["result.json"])
    assert document["warnings"][0]["ruleName"] == "FromAsCasing"
    assert (
        b"WARNING: FromAsCasing - https://x/y\ncasing differs\nDockerfile:1\n" in solved.result.metadata["result.txt"]
    )
    assert "" not in node.lists


def test_cache_workers_versions_and_health(engine: Served, node: BuildNode) -> None:
    async def call() -> None:
        async with BuildkitClient(engine.socket).connection() as channel:
            control: Any = ControlStub(channel)
            usage = await control.DiskUsage(DiskUsageRequest(filter=["", "type==regular"]))
            assert [(each.id, each.size, each.record_type) for each in usage.record] == [("abc", 1_000_000, "regular")]
            pruned = [each async for each in control.Prune(PruneRequest(all=True, keep_duration=10**9))]
            assert [(each.id, each.size) for each in pruned] == [("a", 1_500_000), ("b", 0)]
            with pytest.raises(aio.AioRpcError, match="is not supported"):
                await control.DiskUsage(DiskUsageRequest(filter=["size>1"]))
            workers = await control.ListWorkers(ListWorkersRequest())
            assert workers.record[0].labels
            assert (await control.Info(InfoRequest())).buildkit_version.version.startswith("v0.")
            health: Any = HealthStub(channel)
            assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING

    asyncio.run(call())
    assert node.prunes[0].all
    assert node.prunes[0].filters[0].key == "until"


def test_progress_ends_for_a_client_that_asks_for_it_when_the_solve_is_over(engine: Served) -> None:
    """Buildx begins so, to learn what is served: the solve and its progress are asked for at the same time."""

    async def call() -> None:
        async with asyncio.timeout(60), BuildkitClient(engine.socket).connection() as channel:
            control: Any = ControlStub(channel)
            gateway: Any = LLBBridgeStub(channel)
            solving = control.Solve(SolveRequest(ref="a"))
            await gateway.Return(ReturnRequest(), metadata=[("buildkit-controlapi-buildid", "a")])
            await solving
            assert [each async for each in control.Status(StatusRequest(ref="a"))] == []

    asyncio.run(call())


def test_builds_are_made_on_behalf_of_the_user(node: BuildNode, tmp_path: Path) -> None:
    ada = ActingUser("ada", Role.ADMIN)
    with served_buildkit(node, tmp_path, acting_for=lambda _: acting_for(ada)) as engine:
        run(engine, of(context_of(tmp_path, "FROM scratch")))
    assert node.acting == metadata_of(ada)
