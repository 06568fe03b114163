"""One container: what it is, what is done to it, new ones, and its files."""

import io
import tarfile
from collections.abc import AsyncGenerator

import pytest
from aiohttp import ClientPayloadError

from console.handlers.file_handlers import MAX_ENTRIES
from shoal.api.v1.control_pb2 import CreateServiceRequest, CreateServiceResponse, TaskMove
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    ArchiveRequest,
    ContainerView,
    CreateContainerRequest,
    DirectoryEntries,
    KillContainerRequest,
    KillContainerResponse,
    PathStat,
    PauseContainerRequest,
    StartContainerRequest,
    UpdateContainerRequest,
    WriteArchiveRequest,
    WriteArchiveResponse,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import Fault, InvalidInput, NotFound, Refused
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import stream_of, with_browser


def view() -> ContainerView:
    found = ContainerView()
    found.container.meta.id, found.container.name = "c1", "box"
    found.container.definition.engine_request = b"{}"
    found.task.id, found.task.state, found.task_status.state = "t1", TaskState.ASSIGNED, TaskState.RUNNING
    return found


def test_a_container_is_shown_and_acted_on() -> None:
    answers = {name: view() for name in ("GetContainer", "PauseContainer", "RenameContainer", "UpdateContainer")}
    fake = FakeManagers({**answers, "KillContainer": KillContainerResponse()})

    async def scenario(page: Browser) -> None:
        shown = await (await page.get("/api/containers/box")).json()
        assert shown["state"] == "running" and "engine_request" not in shown["container"]["definition"]
        for path, document, request in (
            ("pause", {}, PauseContainerRequest(container="box")),
            ("unpause", {}, PauseContainerRequest(container="box", unpause=True)),
            ("kill", {"signal": "SIGHUP"}, KillContainerRequest(container="box", signal="SIGHUP")),
        ):
            assert (await page.post(f"/api/containers/box/{path}", document)).status == 200
            assert fake.requests[-1][1] == request
        assert (await page.post("/api/containers/box/rename", {"name": 1})).status == 400
        assert (await page.post("/api/containers/box/rename", {"name": "pg"})).status == 200
        assert (await page.post("/api/containers/box/update", {"memory": "64M"})).status == 200
        made = fake.requests[-1][1]
        assert isinstance(made, UpdateContainerRequest) and made.limits.memory_bytes == 64 << 20
        fake.answers["UpdateContainer"] = InvalidInput([Fault("limits.memory_bytes", "too little")])
        refused = await (await page.post("/api/containers/box/update", {"memory": "1"})).json()
        assert refused["faults"] == [{"path": "memory", "message": "too little"}]

    with_browser(fake, scenario)


def test_a_container_that_does_not_start_is_there_all_the_same() -> None:
    fake = FakeManagers({"CreateContainer": view(), "StartContainer": Refused("port 80 is taken")})

    async def scenario(page: Browser) -> None:
        response = await page.post("/api/containers", {"image": "hello:1", "dry_run": True})
        assert response.status == 200 and [method for method, _ in fake.requests] == ["CreateContainer"]
        made = fake.requests[-1][1]
        assert isinstance(made, CreateContainerRequest) and made.dry_run and made.no_resolve_image
        response = await page.post("/api/containers", {"image": "hello:1"})
        assert (response.status, (await response.json())["problem"]) == (201, "port 80 is taken")
        assert fake.requests[-1][1] == StartContainerRequest(container="c1")
        fake.answers["CreateContainer"] = InvalidInput([Fault("ports[0]", "taken")])
        refused = await page.post("/api/containers", {"image": "hello:1"})
        assert (await refused.json())["faults"] == [{"path": "ports", "message": "taken"}]

    with_browser(fake, scenario)


def test_a_service_is_planned_before_it_is_created() -> None:
    fake = FakeManagers({"CreateService": CreateServiceResponse(moves=[TaskMove(name="web.1", to_hostname="h1")])})

    async def scenario(page: Browser) -> None:
        form = {"name": "web", "image": "hello:1", "replicas": "2"}
        planned = await page.post("/api/services", {**form, "dry_run": True})
        assert (planned.status, (await planned.json())["moves"][0]["to_hostname"]) == (200, "h1")
        assert (await page.post("/api/services", form)).status == 201
        asked = [made.dry_run for _, made in fake.requests if isinstance(made, CreateServiceRequest)]
        assert asked == [True, False]
        fake.answers["CreateService"] = InvalidInput([Fault("task.container.image", "not found")])
        refused = await (await page.post("/api/services", form)).json()
        assert refused["faults"] == [{"path": "image", "message": "not found"}]

    with_browser(fake, scenario)


def entries(count: int) -> list[DirectoryEntries]:
    rows = [PathStat(name=f"<b>{number}", mode=0o100644, size=1 << 40) for number in range(count)]
    return [DirectoryEntries(entries=rows[begin : begin + 500]) for begin in range(0, count, 500)]


def test_a_directory_is_listed_as_far_as_a_page_shows_it() -> None:
    fake = FakeManagers(streams={"ListDirectory": stream_of(*entries(MAX_ENTRIES + 1))})

    async def scenario(page: Browser) -> None:
        found = await (await page.get("/api/files?container=box&path=/etc")).json()
        assert (len(found["entries"]), found["complete"], found["entries"][0]["size"]) == (MAX_ENTRIES, False, 1 << 40)
        assert fake.requests[-1] == ("ListDirectory", ArchiveRequest(container="box", path="/etc"))
        assert (await page.get("/api/files?container=box")).status == 400
        fake.streams["ListDirectory"] = stream_of(NotFound("no such directory"))
        assert (await page.get("/api/files?container=box&path=/x")).status == 404

    with_browser(fake, scenario)


def test_a_file_is_downloaded_as_it_is_and_a_directory_as_an_archive() -> None:
    buffer, info = io.BytesIO(), tarfile.TarInfo("a\u202eb<c>.txt")
    info.size = 5
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(info, io.BytesIO(b"12345"))
    data = buffer.getvalue()
    stat = PathStat(name=info.name, mode=0o100644, size=5)
    parts = [ArchiveChunk(stat=stat), *(ArchiveChunk(data=data[at : at + 100]) for at in range(0, len(data), 100))]

    async def complete(*chunks: ArchiveChunk) -> AsyncGenerator[ArchiveChunk]:
        for each in chunks:
            yield each

    fake = FakeManagers(streams={"ReadArchive": lambda: complete(*parts)})

    async def scenario(page: Browser) -> None:
        response = await page.get("/api/files/content?container=box&path=/a")
        assert (await response.read(), response.headers["Content-Length"]) == (b"12345", "5")
        name = response.headers["Content-Disposition"]
        assert name == "attachment; filename*=UTF-8''a%E2%80%AEb%3Cc%3E.txt"
        assert response.headers["Content-Type"] == "application/octet-stream"
        response = await page.get("/api/files/content?container=box&path=/a&tar=1")
        assert await response.read() == data and ".tar" in response.headers["Content-Disposition"]
        fake.streams["ReadArchive"] = stream_of(NotFound("no such file"))
        assert (await page.get("/api/files/content?container=box&path=/a")).status == 404

    with_browser(fake, scenario)


def test_an_answer_that_fails_halfway_is_broken_off_and_no_text_is_added_to_it() -> None:
    buffer, info = io.BytesIO(), tarfile.TarInfo("a")
    info.size = 5000
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(info, io.BytesIO(bytes(5000)))
    stat = PathStat(name="a", mode=0o100644, size=5000)

    async def cut(error: Exception | None) -> AsyncGenerator[ArchiveChunk]:
        yield ArchiveChunk(stat=stat)
        yield ArchiveChunk(data=buffer.getvalue()[:1000])
        if error is not None:
            raise error

    fake = FakeManagers()

    async def scenario(page: Browser) -> None:
        for error in (None, NotFound("the node is gone"), ValueError("a mistake")):
            fake.streams["ReadArchive"] = lambda error=error: cut(error)  # type: ignore[misc]
            for query in ("", "&tar=1") if error is not None else ("",):
                response = await page.get(f"/api/files/content?container=box&path=/a{query}")
                found = b""
                with pytest.raises(ClientPayloadError):
                    async for piece in response.content.iter_any():
                        found += piece
                assert b"HTTP/1.1" not in found
        assert (await page.get("/api/session")).status == 200

    with_browser(fake, scenario)


def test_a_file_is_uploaded_below_its_directory_and_no_other_site_does_it() -> None:
    fake = FakeManagers({"WriteArchive": WriteArchiveResponse()})

    async def scenario(page: Browser) -> None:
        path, own = "/api/files/content?container=box&path=/srv&name=a/b.txt", {"Origin": page.origin}
        response = await page.client.post(path, data=b"x" * 700_000, headers=own)
        assert response.status == 201
        first, *rest = [made for _, made in fake.requests if isinstance(made, WriteArchiveRequest)]
        assert first.target == ArchiveRequest(container="box", path="/srv") and first.no_overwrite_kind
        with tarfile.open(fileobj=io.BytesIO(b"".join(each.data for each in rest))) as tar:
            assert [(each.name, each.size) for each in tar.getmembers()] == [("a", 0), ("a/b.txt", 700_000)]
        before = len(fake.requests)
        for other, headers, status in (
            (path, {"Origin": "http://evil.example"}, 403),
            (path, {}, 403),
            (path.replace("a/b.txt", "../x"), own, 400),
        ):
            assert (await page.client.post(other, data=b"x", headers=headers)).status == status
        assert len(fake.requests) == before

    with_browser(fake, scenario)
