"""Networks, volumes, secrets and configs are created; a network shows who is on it."""

from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    CreateNetworkRequest,
    CreateNetworkResponse,
    CreateVolumeRequest,
    FileView,
    NetworkView,
    StoreView,
    VolumeView,
)
from shoal.api.v1.file_pb2 import FileSpec
from shoal.errors import AlreadyExists
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser


def test_what_services_use_is_created() -> None:
    fake = FakeManagers(
        {
            "CreateNetwork": CreateNetworkResponse(),
            "CreateVolume": VolumeView(),
            "CreateSecret": FileView(),
            "CreateConfig": AlreadyExists('config "site" already exists'),
        }
    )

    async def scenario(page: Browser) -> None:
        network = {"name": "front", "driver": "overlay", "subnet": "", "internal": True, "encrypted": True}
        assert (await page.post("/api/networks", network)).status == 201
        method, made = fake.requests[-1]
        assert isinstance(made, CreateNetworkRequest)
        assert (method, made.spec.name, made.spec.internal, dict(made.spec.options)) == (
            "CreateNetwork",
            "front",
            True,
            {"encrypted": ""},
        )
        assert (await page.post("/api/volumes", {"name": "data", "driver": "local"})).status == 201
        made = fake.requests[-1][1]
        assert isinstance(made, CreateVolumeRequest) and made.spec.name == "data"
        response = await page.post("/api/secrets", {"name": "key", "content": "pä"})
        assert response.status == 201 and await response.json() == {}
        made = fake.requests[-1][1]
        assert isinstance(made, CreateFileRequest) and (made.spec.name, made.content) == ("key", "pä".encode())
        assert (await page.post("/api/secrets", {"name": "key", "content_base64": "AP8="})).status == 201
        assert fake.requests[-1][1] == CreateFileRequest(spec=FileSpec(name="key"), content=b"\0\xff")
        before = len(fake.requests)
        assert (await page.post("/api/secrets", {"name": "key", "content_base64": "AP8"})).status == 400
        assert len(fake.requests) == before
        refused = await page.post("/api/configs", {"name": "site", "content": ""})
        assert (refused.status, (await refused.json())["error"]) == (409, 'config "site" already exists')
        assert (await page.post("/api/volumes", {"name": 3, "driver": ""})).status == 400

    with_browser(fake, scenario)


def test_a_network_and_the_store_are_shown() -> None:
    network, store = NetworkView(), StoreView()
    network.network.spec.name = "front"
    network.endpoints.add(task_name="web.1", node_hostname="h1", address="10.0.1.5")
    store.members.add(endpoint="10.0.0.1:2379", version="3.5.21", database_bytes=4096)
    fake = FakeManagers({"GetNetwork": network, "GetStore": store})

    async def scenario(page: Browser) -> None:
        (endpoint,) = (await (await page.get("/api/networks/front")).json())["endpoints"]
        assert (endpoint["task_name"], endpoint["address"]) == ("web.1", "10.0.1.5")
        (member,) = (await (await page.get("/api/store")).json())["members"]
        assert member["version"] == "3.5.21"

    with_browser(fake, scenario)
