"""One volume, secret or config, and new content."""

from shoal.api.v1.control_pb2 import (
    CancelVolumeMoveRequest,
    FileView,
    GetFileRequest,
    GetVolumeRequest,
    MoveVolumeRequest,
    UpdateFileRequest,
    UpdateFileResponse,
    VolumeView,
)
from shoal.errors import NotFound
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser


def test_a_volume_has_its_data_and_its_users_by_kind() -> None:
    view = VolumeView(services=["container box", "web"])
    view.volume.spec.name, view.volume.spec.engine_request = "data", b"{}"
    view.locations.add(hostname="h1", home=True, used_bytes=0)
    fake = FakeManagers({"GetVolume": view})

    async def scenario(page: Browser) -> None:
        found = await (await page.get("/api/volumes/data?sizes")).json()
        assert (found["services"], found["containers"]) == (["web"], ["box"])
        assert found["locations"] == [{"hostname": "h1", "home": True, "used_bytes": "0"}]
        assert "engine_request" not in found["volume"]["spec"]
        await page.get("/api/volumes/data")
        asked = [request.include_sizes for _, request in fake.requests if isinstance(request, GetVolumeRequest)]
        assert asked == [True, False]
        fake.answers["GetVolume"] = NotFound('there is no volume "data"')
        assert (await page.get("/api/volumes/data")).status == 404

    with_browser(fake, scenario)


def test_a_volume_moves_and_its_move_is_cancelled() -> None:
    fake = FakeManagers({"MoveVolume": VolumeView(), "CancelVolumeMove": VolumeView()})

    async def scenario(page: Browser) -> None:
        assert (await page.post("/api/volumes/data/move", {"node": "h2", "slot": 3, "replace": True})).status == 200
        call = MoveVolumeRequest(volume="data", node="h2", slot=3, replace=True)
        assert fake.requests.pop() == ("MoveVolume", call)
        assert (await page.post("/api/volumes/data/move", {"node": "h2", "slot": 0})).status == 200
        assert fake.requests.pop() == ("MoveVolume", MoveVolumeRequest(volume="data", node="h2"))
        assert (await page.post("/api/volumes/data/move", {"node": "h2", "slot": -1})).status == 400
        assert (await page.post("/api/volumes/data/cancel-move", {"slot": 3})).status == 200
        assert fake.requests.pop() == ("CancelVolumeMove", CancelVolumeMoveRequest(volume="data", slot=3))

    with_browser(fake, scenario)


def test_a_config_is_text_and_a_secret_is_not_shown() -> None:
    def file(content: bytes) -> FileView:
        view = FileView(content=content, version="ab", services=["web"])
        view.spec.name = "site"
        view.versions.add(version="ab", size_bytes=len(content))
        return view

    fake = FakeManagers({"GetSecret": file(b"never")})

    async def scenario(page: Browser) -> None:
        secret = await page.get("/api/secrets/key")
        assert "never" not in await secret.text() and "content" not in await secret.json()
        for content, text in ((b"a: p\xc3\xa4\n", "a: pä\n"), (b"", ""), (b"\xff\xfe", None), (b"a\0b", None)):
            fake.answers["GetConfig"] = file(content)
            found = await (await page.get("/api/configs/site")).json()
            assert (found["content"], found["versions"][0]["version"]) == (text, "ab")
            assert (found["head"], found["size"]) == ("" if text is not None else content.hex(), len(content))
            file_of_it = await page.get("/api/configs/site/content")
            assert await file_of_it.read() == content
            assert file_of_it.headers["Content-Disposition"] == "attachment; filename*=UTF-8''site"
        assert (await page.get("/api/secrets/key/content")).status == 404
        assert fake.requests[-1] == ("GetConfig", GetFileRequest(file="site"))

    with_browser(fake, scenario)


def test_an_update_changes_what_it_names() -> None:
    fake = FakeManagers(
        {"UpdateConfig": UpdateFileResponse(services=["web"]), "UpdateSecret": UpdateFileResponse()},
    )

    async def scenario(page: Browser) -> None:
        labels = {"labels_add": {"team": "web"}, "labels_remove": ["old"]}
        made = await page.post("/api/configs/f1/update", labels)
        assert await made.json() == {"services": ["web"]}
        call = fake.requests[-1][1]
        assert call == UpdateFileRequest(file="f1", labels_add={"team": "web"}, labels_remove=["old"])
        assert isinstance(call, UpdateFileRequest) and not call.HasField("content")
        made = await page.post("/api/secrets/f2/update", {"content": ""})
        assert await made.json() == {"services": []}
        call = fake.requests[-1][1]
        assert isinstance(call, UpdateFileRequest) and call.HasField("content") and call.content == b""
        await page.post("/api/configs/f1/update", {"content_base64": "AP8="})
        assert fake.requests[-1][1] == UpdateFileRequest(file="f1", content=b"\0\xff")
        before = len(fake.requests)
        for fault in (
            {"content": 3},
            {"content_base64": "AP8"},
            {"labels_add": ["a"]},
            {"labels_add": {"a": 1}},
            {"labels_remove": [1]},
        ):
            assert (await page.post("/api/configs/f1/update", fault)).status == 400
        assert len(fake.requests) == before

    with_browser(fake, scenario)
