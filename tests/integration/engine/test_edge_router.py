"""What an edge router such as Traefik's swarm provider reads: its calls and fields, in its order."""

from typing import Any

import docker
from docker.models.containers import Container
from docker.types import EndpointSpec

from tests.integration.engine.conftest import HELLO, EngineCluster

Document = dict[str, Any]


def test_routes_to_the_tasks_of_labelled_services_are_found(engine: EngineCluster) -> None:
    with engine.client() as client:
        client.networks.create("edge", driver="overlay", attachable=True)
        client.services.create(  # type: ignore[no-untyped-call]
            HELLO,
            name="shop",
            labels={"traefik.http.services.shop.loadbalancer.server.port": "80"},
            networks=["edge"],
            mode={"Replicated": {"Replicas": 2}},
            endpoint_spec=EndpointSpec(mode="vip"),
        )
        engine.cluster.until(lambda: len(_routes(client)) == 2, "both tasks to have routes")
        routes = _routes(client)
        box = client.containers.run(HELLO, ["sleep", "1000"], network="edge", detach=True)
        page = ["wget", "-q", "-O", "-", *(f"http://{route['address']}/" for route in routes)]
        output = engine.cluster.until(lambda: _output(box, page), "both tasks to serve")
        assert output.count(b"host: shop-") == 2, output
        hosts = {str(each.address) for each in engine.cluster.layout.all_hosts()}
        assert {route["node"] for route in routes} <= hosts
        assert {route["name"] for route in routes} == {"shop.1", "shop.2"}


def _output(box: Container, command: list[str]) -> bytes:
    """Of a command that succeeds in a container; empty where it does not."""
    done = box.exec_run(command)
    return done.output if done.exit_code == 0 and isinstance(done.output, bytes) else b""


def _routes(client: docker.DockerClient) -> list[dict[str, str]]:
    """Address, name and node of each task that runs, of each service with a label of the router."""
    api: Any = client.api
    assert tuple(map(int, api.version()["ApiVersion"].split("."))) >= (1, 29)
    networks = {each["Id"]: each for each in api.networks(filters={"scope": "swarm"})}
    found = []
    for service in api.services():
        if not service["Endpoint"].get("VirtualIPs"):
            continue  # it has just been created
        assert service["Spec"]["Labels"] and service["Spec"]["EndpointSpec"]["Mode"] == "vip"
        virtual = {networks[each["NetworkID"]]["Name"]: each["Addr"] for each in service["Endpoint"]["VirtualIPs"]}
        assert "/" in virtual["edge"], "with the length of its prefix"
        tasks = api.tasks(filters={"service": service["ID"], "desired-state": "running"})
        found += [_route(api, service, each, networks) for each in tasks if each["Status"]["State"] == "running"]
    return found


def _route(api: Any, service: Document, task: Document, networks: dict[str, Document]) -> dict[str, str]:
    attached = {networks[each["Network"]["ID"]]["Name"]: each["Addresses"] for each in task["NetworksAttachments"]}
    address, _, prefix = attached["edge"][0].partition("/")
    assert int(prefix) <= 32
    node = api.inspect_node(task["NodeID"])["Status"]["Addr"]
    return {"address": address, "name": f"{service['Spec']['Name']}.{task['Slot']}", "node": node}
