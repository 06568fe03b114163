"""Images: what they are, their names, and copies with progress that end with their page."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from console.app import logins_of
from console.handlers import cluster_images, image_archive_handlers
from console.handlers.image_handlers import LayerChanges
from console.settings import ConsoleSettings
from shoal.api.v1.control_pb2 import ClusterView
from shoal.api.v1.engine_pb2 import (
    CommitContainerRequest,
    ImageView,
    RemoveImageRequest,
    RemoveImagesResponse,
    SetImageRequest,
)
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.registries import Registries
from shoal.errors import NotFound
from shoal.images.progress import LayerProgress, LayerState
from shoal.registry_logins.docker_config import DockerConfig, Login
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser

DIGEST = "sha256:" + "a" * 64


def image() -> ImageView:
    found = ImageView(names=["docker.io/library/redis:7"])
    found.image.digest, found.image.name = DIGEST, "docker.io/library/redis:7"
    found.image.meta.id = "i1"
    config = {
        "config": {"Cmd": ["redis"]},
        "history": [{"created_by": "<b>COPY"}, {"created_by": "CMD", "empty_layer": True}],
    }
    variant = found.image.variants.add(config=json.dumps(config).encode(), layers=["sha256:b"], layer_bytes=[7])
    variant.platform.os, variant.platform.architecture = "linux", "amd64"
    return found


def test_an_image_is_shown_with_its_history() -> None:
    fake = FakeManagers({"GetImage": image(), "GetCluster": ClusterView(image_repository="registry:5000/shoal/pool")})

    async def scenario(page: Browser) -> None:
        found = await (await page.get("/api/image?image=redis:7")).json()
        assert (found["found"], found["image"]["RepoTags"], found["image"]["Config"]) == (
            True,
            ["redis:7"],
            {"Cmd": ["redis"]},
        )
        assert [(each["by"], each["size"]) for each in found["history"]] == [("CMD", 0), ("<b>COPY", 7)]
        assert found["layers"] == [{"digest": "sha256:b", "size": 7}]
        fake.answers["GetImage"] = NotFound("no such image")
        assert await (await page.get("/api/image?image=x")).json() == {"found": False, "pulls": True}
        fake.answers["GetCluster"] = ClusterView()
        assert await (await page.get("/api/image?image=x")).json() == {"found": False, "pulls": False}

    with_browser(fake, scenario)


def test_names_are_given_and_removed_by_name() -> None:
    fake = FakeManagers({"GetImage": image(), "SetImage": Image(), "RemoveImage": RemoveImagesResponse(untagged=["x"])})

    async def scenario(page: Browser) -> None:
        made = await page.post("/api/image/tag", {"image": DIGEST, "name": "team/web"})
        assert (made.status, await made.json()) == (201, {"name": "team/web:latest"})
        stored = fake.requests[-1][1]
        assert isinstance(stored, SetImageRequest) and not stored.image.HasField("meta")
        assert (stored.image.name, stored.image.digest) == ("docker.io/team/web:latest", DIGEST)
        assert (await page.post("/api/image/tag", {"image": DIGEST, "name": f"web@{DIGEST}"})).status == 400
        assert (await page.post("/api/image/remove", {"image": "redis:7", "name": "redis"})).status == 400
        assert (await page.post("/api/image/remove", {"image": "redis:7", "name": "redis:7"})).status == 200
        assert fake.requests[-1][1] == RemoveImageRequest(image="redis:7")

    with_browser(fake, scenario)


def test_a_layer_is_told_once_for_all_that_has_happened_to_it_meanwhile() -> None:
    changes = LayerChanges()
    for done in (1, 2, 3):
        changes(LayerProgress("sha256:b", LayerState.TRANSFERRING, done, 3))
    changes(LayerProgress("sha256:c", LayerState.EXISTS))
    assert changes.consume() == [("sha256:b", "transferring", 3, 3), ("sha256:c", "exists", 0, 0)]
    assert changes.consume() == []


def test_copies_at_once_have_a_bound_that_those_that_have_ended_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these ends at once: the cluster has no repository."""
    fake = FakeManagers({"GetCluster": ClusterView()})

    async def scenario(page: Browser) -> None:
        monkeypatch.setattr(cluster_images, "MAX_COPIES", 1)
        for _ in range(3):
            assert "no image repository" in (await last_message(page, "/api/images/pull", {"name": "redis"}))["error"]
        monkeypatch.setattr(cluster_images, "MAX_COPIES", 0)
        assert "too many copies" in (await last_message(page, "/api/images/pull", {"name": "redis"}))["error"]

    with_browser(fake, scenario)


async def last_message(page: Browser, path: str, *messages: object) -> Any:
    socket = await page.open(path)
    for each in messages:
        await socket.send_json(each)
    return await socket.receive_json(timeout=5)


def test_what_cannot_be_copied_is_said() -> None:
    fake = FakeManagers({"GetCluster": ClusterView(), "GetImage": NotFound("no such image")})

    async def scenario(page: Browser) -> None:
        for path, message, text in (
            ("pull", {"name": "redis"}, "no image repository"),
            ("pull", {"name": "redis", "platform": "linux"}, "platform"),
            ("pull", {"name": "Redis!"}, "Redis!"),
            ("pull", [], "first message"),
            ("push", {"name": "redis"}, "no such image"),
        ):
            found = await last_message(page, f"/api/images/{path}", message)
            assert found["type"] == "error" and text in found["error"], found

    with_browser(fake, scenario)


def test_archives_have_a_bound_and_need_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeManagers({"GetCluster": ClusterView(), "GetImage": image()})

    async def scenario(page: Browser) -> None:
        assert "no image repository" in (await (await page.get("/api/image/archive?image=redis:7")).json())["error"]
        for body, text in ((b"tar", "no image repository"), (b"too large", "4 bytes at most")):
            monkeypatch.setattr(image_archive_handlers, "MAX_ARCHIVE", 4)
            sent = await page.client.post("/api/images/archive", data=body, headers={"Origin": page.origin})
            assert text in (await sent.json())["error"]

    with_browser(fake, scenario)


def test_a_container_is_committed() -> None:
    made = Image(name="docker.io/team/web:2", digest=DIGEST)
    fake = FakeManagers({"CommitContainer": made})
    form = {"name": "team/web:2", "message": "m", "author": "ada", "changes": ["USER 1"]}

    async def scenario(page: Browser) -> None:
        done = await page.post("/api/containers/box/commit", form)
        assert (done.status, await done.json()) == (201, {"name": "team/web:2", "digest": DIGEST})
        call = CommitContainerRequest(container="box", name="team/web:2", message="m", author="ada", changes=["USER 1"])
        assert fake.requests[-1] == ("CommitContainer", call)
        await page.post("/api/containers/box/commit", {**form, "pause": False})
        call.no_pause = True
        assert fake.requests[-1] == ("CommitContainer", call)
        for fault in ({"changes": "USER 1"}, {"changes": [1]}, {"message": 1}):
            assert (await page.post("/api/containers/box/commit", {**form, **fault})).status == 400

    with_browser(fake, scenario)


TYPED = {"username": "ada", "password": "secret"}


@pytest.mark.parametrize(
    ("kept", "typed"),
    [("ada:secret", {}), ("old:x", TYPED), ("", TYPED)],
)
def test_a_pull_uses_the_login_that_is_typed_else_the_persons_own_and_ends_when_its_page_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, typed: dict[str, str]
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    expected = b"Basic " + base64.b64encode(b"ada:secret")

    async def scenario(page: Browser) -> None:
        logged_in, gone = asyncio.Event(), asyncio.Event()

        async def registry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while expected not in await reader.readuntil(b"\r\n\r\n"):
                writer.write(b'HTTP/1.1 401 no\r\nWWW-Authenticate: Basic realm="r"\r\nContent-Length: 0\r\n\r\n')
            logged_in.set()
            await reader.read()  # it answers no more; the end comes with the client
            gone.set()
            writer.close()

        async with await asyncio.start_server(registry, "127.0.0.1") as server, asyncio.timeout(60):
            host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            if kept:
                user, _, password = kept.partition(":")
                DockerConfig(tmp_path / "config.json").store(host, Login(user, password))
            fake.answers["GetCluster"] = ClusterView(image_repository=f"{host}/pool")
            socket = await page.open("/api/images/pull")
            await socket.send_json({"name": f"{host}/web:1", **typed})
            await logged_in.wait()
            await socket.close()
            await gone.wait()

    fake = FakeManagers()
    with_browser(fake, scenario)


def test_a_console_for_a_team_lends_the_logins_of_its_own_user_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    DockerConfig(tmp_path / "config.json").store("r:1", Login("ada", "secret"))
    for local, listen, user in ((True, "127.0.0.1:0", "ada"), (False, "[::]:0", "")):
        found = logins_of(ConsoleSettings(local=local, listen=listen))(Registries(), ["r:1"])
        assert found.find("r:1").username == user


def test_a_file_of_logins_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    fake = FakeManagers({"GetCluster": ClusterView(image_repository="127.0.0.1:1/pool")})

    async def scenario(page: Browser) -> None:
        found = await last_message(page, "/api/images/pull", {"name": "redis"})
        assert "cannot read" in found["error"] and "config.json" in found["error"]

    with_browser(fake, scenario)
