"""Lists that are asked for, and removals by name."""

from shoal.api.v1.control_pb2 import (
    CheckNetworkResponse,
    ListFilesResponse,
    ListManagersResponse,
    ListNetworksResponse,
    ListVolumesResponse,
    NodePair,
    RemoveNetworkRequest,
    RemoveNetworkResponse,
)
from shoal.api.v1.engine_pb2 import ContainerView, ListContainersResponse, ListImagesResponse
from shoal.api.v1.task_pb2 import TaskState
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser


def managers() -> FakeManagers:
    networks, volumes, files = ListNetworksResponse(), ListVolumesResponse(), ListFilesResponse()
    network = networks.networks.add(services=["web"], addresses=3)
    network.network.meta.id, network.network.spec.name = "n1", "front"
    network.allocation.subnet = "10.0.1.0/24"
    volume = volumes.volumes.add()
    volume.volume.meta.id, volume.volume.spec.name, volume.volume.spec.driver = "v1", "data", "local"
    volume.locations.add(hostname="h2", problem="disk full")
    volume.locations.add(hostname="h1")
    secret = files.files.add(content=b"never")
    secret.meta.id, secret.spec.name = "f1", "key"
    secret.versions.add(version="1", size_bytes=5)
    listed = ListManagersResponse()
    manager = listed.managers.add(alive=True, leader=True, nodes=3)
    manager.manager.id = "m1"
    containers, images = ListContainersResponse(), ListImagesResponse()
    db = ContainerView(node_hostname="h1", command=["redis", "--save"])
    db.container.meta.id, db.container.name = "c1", "db"
    db.task.id, db.task.state, db.task_status.state = "t1", TaskState.ASSIGNED, TaskState.RUNNING
    containers.containers.append(db)
    image = images.images.add(names=["docker.io/library/redis:7"], node_ids=["a", "b"])
    image.image.digest = "sha256:1"
    answers = {
        "ListNetworks": networks,
        "ListVolumes": volumes,
        "ListSecrets": files,
        "ListConfigs": files,
        "ListManagers": listed,
        "ListContainers": containers,
        "ListImages": images,
        "RemoveNetwork": RemoveNetworkResponse(id="n1"),
        "CheckNetwork": CheckNetworkResponse(pairs=[NodePair(from_hostname="h1", to_hostname="h2")]),
    }
    return FakeManagers(dict(answers))


def test_every_list() -> None:
    async def scenario(page: Browser) -> None:
        rows = {}
        for kind in ("containers", "images", "networks", "volumes", "secrets", "configs", "managers"):
            response = await page.get(f"/api/{kind}")
            assert response.status == 200, kind
            assert "never" not in await response.text()
            (rows[kind],) = await response.json()
        assert rows["networks"]["subnet"] == "10.0.1.0/24"
        assert (rows["volumes"]["nodes"], rows["volumes"]["problem"]) == (["h1", "h2"], "h2: disk full")
        assert (rows["secrets"]["name"], rows["secrets"]["size"]) == ("key", 5)
        assert (rows["managers"]["state"], rows["managers"]["nodes"]) == ("leader", 3)
        assert (rows["containers"]["state"], rows["containers"]["command"]) == ("running", "redis --save")
        assert (rows["images"]["name"], rows["images"]["nodes"]) == ("redis:7", 2)

    with_browser(managers(), scenario)


def test_what_is_removed_is_named() -> None:
    fake = managers()

    async def scenario(page: Browser) -> None:
        for identifier, name in (("n1", "back"), ("n2", "front")):
            assert (await page.post(f"/api/networks/{identifier}/remove", {"name": name})).status == 400
        assert (await page.post("/api/networks/n1/remove", {"name": "front"})).status == 200
        assert fake.requests[-1] == ("RemoveNetwork", RemoveNetworkRequest(network="n1"))
        assert (await page.post("/api/managers/m1/remove", {"name": "m1"})).status == 404

    with_browser(fake, scenario)


def test_the_network_is_checked() -> None:
    async def scenario(page: Browser) -> None:
        response = await page.post("/api/network-check", {"network": "front"})
        assert (await response.json())["pairs"] == [{"from_hostname": "h1", "to_hostname": "h2"}]

    with_browser(managers(), scenario)
