"""What clients of BuildKit send, as what a build is asked for."""

import asyncio
from typing import Any

import pytest

from engine.buildkit.session.client_session import ClientSessions
from engine.buildkit.solves import Solves
from engine.buildkit.status_feed import MAX_WAITING, StatusFeed
from engine.buildkit.translation.build_errors import status_of
from engine.buildkit.translation.cache_rows import prune_request, read_filters
from engine.buildkit.translation.definitions import definition_of, image_of, refuse
from engine.buildkit.translation.exporters import ResultOptions, read_exporter
from engine.buildkit.translation.frontend_options import FrontendOptions, read_options
from engine.buildkit.v1.control_pb2 import (
    CacheOptions,
    CacheOptionsEntry,
    Exporter,
    PruneRequest,
    SolveRequest,
    StatusResponse,
    VertexLog,
)
from engine.buildkit.v1.ops_pb2 import Definition, Op
from engine.protocol.parameters import Filters
from engine.server.callers import ApiCaller, local_caller
from engine.translate.images.build_cache import read_prune
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.errors import Fault, InvalidInput, NotFound, Refused
from shoal.identity.roles import Role

IMAGE = ResultOptions("moby", BuildStart.IMAGE, names=("docker.io/library/a:1",), is_pushed=True)
REFERENCE = "docker.io/library/a:1@sha256:" + "1" * 64


def read(options: dict[str, str], **request: Any) -> FrontendOptions:
    return read_options("dockerfile.v0", options, {}, SolveRequest(**request), IMAGE)


def test_options_of_buildx_are_read() -> None:
    found = read(
        {
            "filename": "D",
            "target": "t",
            "build-arg:A": "1",
            "label:k": "v",
            "platform": "linux/amd64",
            "no-cache": "a,b",
            "image-resolve-mode": "pull",
            "force-network-mode": "none",
            "add-hosts": "a=192.0.2.1,b=2001:db8::1,c=192.0.2.254",
            "ulimit": "nofile=10:20,core=5",
            "shm-size": "1024",
            "memory": "2048",
            "memswap": "-1",
            "cpushares": "2",
            "cpusetcpus": "0-1",
            "context:x": "local:_x",
            "context:y": "docker-image://alpine",
            "local-sessionid:_x": "s2",
            "cache-imports": '[{"Type":"registry","Attrs":{"ref":"r/a"}}]',
            "cache-from": "r/b",
            "vcs:source": "ignored",
        },
        entitlements=["network.host", "device=x"],
        cache=CacheOptions(exports=[CacheOptionsEntry(type="registry", attrs={"ref": "r/c", "mode": "max"})]),
    )
    start = found.start
    assert (found.file_name, found.dockerfile_directory, found.context_directory) == ("D", "dockerfile", "context")
    assert (dict(start.build_args), dict(start.labels)) == ({"A": "1"}, {"k": "v"})
    assert (start.target, start.platform, start.pull, start.network) == ("t", "linux/amd64", True, "none")
    assert (start.no_cache, list(start.no_cache_stages)) == (False, ["a", "b"])
    assert list(start.extra_hosts) == ["a:192.0.2.1", "b:2001:db8::1", "c:host-gateway"]
    assert [(each.name, each.soft, each.hard) for each in start.ulimits] == [("nofile", 10, 20), ("core", 5, 5)]
    assert (start.shm_bytes, start.memory_bytes, start.memory_swap_bytes) == (1024, 2048, -1)
    assert (start.cpu.shares, start.cpu.cpuset_cpus) == (2, "0-1")
    assert dict(start.contexts) == {"x": "local", "y": "docker-image://alpine"}
    assert (found.directories, found.sessions) == ({"x": "_x"}, {"_x": "s2"})
    assert list(start.cache_from) == ["type=registry,ref=r/a", "type=registry,ref=r/b"]
    assert list(start.cache_to) == ["type=registry,mode=max,ref=r/c"]
    assert list(start.entitlements) == ["network.host", "device"]
    assert (list(start.names), list(start.push)) == (["docker.io/library/a:1"], ["docker.io/library/a:1"])


def test_no_cache_without_stages_is_of_all() -> None:
    assert read({"no-cache": ""}).start.no_cache
    assert not read({}).start.no_cache


@pytest.mark.parametrize(
    ("options", "remote", "upload", "dockerfile"),
    [
        ({"context": "https://x/a.git#b", "contextsubdir": "sub"}, "https://x/a.git#b:sub", "", ""),
        ({"context": "git@x:a.git"}, "git@x:a.git", "", ""),
        ({"context": "https://x/a.tar", "dockerfilekey": "dockerfile"}, "https://x/a.tar", "", "dockerfile"),
        ({"context": "http://buildkit-session/1"}, "", "http://buildkit-session/1", ""),
    ],
)
def test_contexts_that_are_no_directory(options: dict[str, str], remote: str, upload: str, dockerfile: str) -> None:
    found = read(options)
    assert (found.start.remote_context, found.upload, found.dockerfile_directory) == (remote, upload, dockerfile)
    assert not found.context_directory


@pytest.mark.parametrize(
    "options",
    [
        {"add-hosts": "a"},
        {"ulimit": "nofile=x"},
        {"shm-size": "-1"},
        {"memory": "1" * 30},
        {"cache-imports": "{"},
        {"cache-imports": "[1]"},
        {"platform": "linux"},
        {"cgroup-parent": "x"},
        {"multi-platform": "true"},
        {"context:x": "input:none"},
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        read(options)


def test_exporters_are_read() -> None:
    attrs = {"name": "a,b:2", "push": "true", "oci-mediatypes": "1", "compression": "zstd", "compression-level": "3"}
    found = read_exporter(SolveRequest(exporters=[Exporter(type="image", attrs=attrs)]))
    assert found.names == ("docker.io/library/a:latest", "docker.io/library/b:2")
    assert (found.is_pushed, found.media_types, found.compression, found.compression_level) == (True, "oci", "zstd", 3)
    older = read_exporter(SolveRequest(exporter_deprecated="local"))
    assert (older.output, older.is_directory) == (BuildStart.FILES, True)
    assert read_exporter(SolveRequest()).output == BuildStart.NONE


@pytest.mark.parametrize(
    "attrs",
    [
        {"push": "perhaps"},
        {"push-by-digest": "true"},
        {"tar": "false"},
        {"compression": "estargz"},
        {"compression-level": "x"},
        {"annotation.a": "b"},
    ],
)
def test_attributes_that_are_not_served_are_refused(attrs: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        read_exporter(SolveRequest(exporters=[Exporter(type="oci", attrs=attrs)]))


def test_an_image_is_a_definition_there_and_back() -> None:
    assert image_of(definition_of(REFERENCE), "x") == f"docker-image://{REFERENCE}"
    refuse(Definition())


@pytest.mark.parametrize(
    "definition",
    [None, Definition(), Definition(operations=[b"\xff", b""]), Definition(operations=[Op().SerializeToString()])],
)
def test_other_definitions_are_refused(definition: Definition | None) -> None:
    with pytest.raises(InvalidInput, match="LLB of clients is not supported"):
        image_of(definition, "x")


def test_prunes_have_moments_as_nodes_read_them() -> None:
    request = PruneRequest(filter=["type==regular,shared"], keep_duration=3600 * 10**9)
    found = prune_request(request, now_ms=7_200_000)
    assert [(each.key, each.value) for each in found.filters] == [
        ("type", "regular"),
        ("shared", "true"),
        ("until", "3600"),
    ]
    with pytest.raises(InvalidInput):
        list(read_filters(["size>1"]))
    filters: Filters = {"until": ["1h"]}
    classic = read_prune(filters, everything=False, keep_bytes=0, now_ms=7_200_000)
    assert [(each.key, each.value) for each in classic.filters] == [("until", "3600")]


def test_errors_have_lines_where_they_are_known() -> None:
    status = status_of(
        InvalidInput([Fault("Dockerfile:3", "unknown instruction: FOO")]), None, "Dockerfile", b"a\nb\nc\n"
    )
    assert (status.code, status.message) == (2, "dockerfile parse error on line 3: unknown instruction: FOO")
    assert [each.type_url for each in status.details] == ["github.com/moby/buildkit/errdefs.Source+json"]
    assert not status_of(Refused("no"), None, "", b"").details


def test_progress_that_nobody_follows_loses_its_beginning_and_a_follower_is_waited_for() -> None:
    async def check() -> None:
        feed = StatusFeed()
        for number in range(MAX_WAITING + 5):
            await feed.put(StatusResponse(logs=[VertexLog(stream=number)]))
        following = feed.follow()
        first = await anext(following)
        assert first.logs[0].stream == 5
        putting = [asyncio.create_task(feed.put(StatusResponse())) for _ in range(200)]
        await asyncio.sleep(0)
        assert not all(each.done() for each in putting)
        feed.end()
        async for _ in following:
            pass
        await asyncio.gather(*putting)

    asyncio.run(check())


def test_solves_and_sessions_are_found_by_who_has_begun_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.buildkit.solves.WAIT_SECONDS", 0.01)
    monkeypatch.setattr("engine.buildkit.session.client_session.WAIT_SECONDS", 0.01)
    ada, local = ApiCaller("ada", Role.ADMIN, is_local=False), local_caller(Role.ENGINE)

    async def check() -> None:
        solves = Solves()
        with solves.begin(ada, SolveRequest(ref="r")) as solve:
            assert await solves.find(ada, "r") is solve
            with pytest.raises(NotFound):
                await solves.find(local, "r")
        with pytest.raises(NotFound):
            await solves.find(ada, "r")
        with pytest.raises(NotFound, match="no active session for s"):
            await ClientSessions().find(ada, "s")

    asyncio.run(check())
