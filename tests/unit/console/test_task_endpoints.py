"""How a task is reached: its addresses, and the ports that its node alone publishes."""

from shoal.api.v1.control_pb2 import ListNetworksResponse, ListTasksRequest, ListTasksResponse
from shoal.api.v1.service_pb2 import PublishedPort
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser


def test_addresses_have_the_names_of_networks_and_ports_are_of_the_node() -> None:
    tasks, networks = ListTasksResponse(), ListNetworksResponse()
    tasks.tasks.add().task.id = "t1"
    task = tasks.tasks.add().task
    task.id = "t2"
    task.addresses.add(network_id="n1", address="10.0.1.7", address6="fd00::7")
    task.addresses.add(network_id="gone", address="10.0.2.7")
    task.ports.add(published=30000, target=80)
    task.ports.add(published=53, target=53, protocol=PublishedPort.UDP, host_address="192.0.2.1")
    network = networks.networks.add().network
    network.meta.id, network.spec.name = "n1", "front"
    fake = FakeManagers({"ListTasks": tasks, "ListNetworks": networks})

    async def scenario(page: Browser) -> None:
        found = await (await page.get("/api/nodes/h1/tasks/t2")).json()
        assert fake.requests[0] == ("ListTasks", ListTasksRequest(node="h1"))
        assert [(each["network"], each["address"]) for each in found["addresses"]] == [
            ("front", "10.0.1.7"),
            ("front", "fd00::7"),
            ("gone", "10.0.2.7"),
        ]
        assert found["ports"] == [
            {"published": 30000, "target": 80, "protocol": "tcp", "mode": "host", "host": ""},
            {"published": 53, "target": 53, "protocol": "udp", "mode": "host", "host": "192.0.2.1"},
        ]
        missing = await page.get("/api/nodes/h1/tasks/t3")
        assert (missing.status, (await missing.json())["error"]) == (404, 'task "t3" is not on this node')

    with_browser(fake, scenario)
