"""Networks on the command line and in Compose files, and what the check of the network tells."""

from pathlib import Path

import pytest

from cli.commands.network.connectivity_check import path_rows, port_row
from cli.commands.network.network_listing import document, row
from cli.flags.network_options import remove_network
from cli.flags.pool_options import set_pools
from shoal.api.v1.control_pb2 import (
    CheckNetworkResponse,
    NetworkEndpoint,
    NetworkView,
    NodePair,
    PathReport,
    PortCheck,
)
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.api.v1.task_pb2 import TaskState
from shoal.compose.load import load_documents
from shoal.compose.project import StackSpecs
from shoal.compose.reading.yaml_document import parse_document
from shoal.errors import InvalidInput
from shoal.filters.network_filters import NETWORKS
from shoal.spec_parsers.network_attachments import add_network, parse_attachment


def project(text: str) -> StackSpecs:
    return load_documents("shop", [parse_document(Path("file.yaml"), text)], {}, Path("/srv/shop")).checked().project


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        project(text)
    return [fault.path.split(": ", 1)[1] for fault in caught.value.faults]


def test_an_attachment_in_its_forms() -> None:
    assert parse_attachment("front") == NetworkAttachment(network="front")
    whole = NetworkAttachment(network="front", aliases=["www", "site"], address="10.0.5.7")
    assert parse_attachment("name=front,alias=www,alias=site,ip=10.0.5.7") == whole


@pytest.mark.parametrize(
    "text", ["alias=www", "name=front,ip=", "name=front,mac=02:00:00:00:00:01", "name=front,x", "container:db"]
)
def test_attachments_of_another_form(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_attachment(text)


def test_attaching_again_replaces_and_detaching_needs_an_attachment() -> None:
    spec = ServiceSpec()
    add_network(spec, "front")
    add_network(spec, "name=front,alias=www")
    assert [list(each.aliases) for each in spec.task.networks] == [["www"]]
    remove_network(spec, "front")
    with pytest.raises(InvalidInput):
        remove_network(spec, "front")


def view(name: str, driver: str = "overlay", **labels: str) -> NetworkView:
    spec = NetworkSpec(name=name, driver=driver, labels=labels)
    return NetworkView(network=Network(meta=Meta(id=f"id-{name}"), spec=spec), services=["web"] * (name == "front"))


def test_filters_keep_any_value_of_a_name_and_all_names() -> None:
    views = [view("front", tier="web"), view("back", "bridge", tier="db"), view("other")]

    def kept(*texts: str) -> list[str]:
        keeps = NETWORKS.parse(texts)
        return [each.network.spec.name for each in views if keeps(each)]

    assert kept() == ["front", "back", "other"]
    assert kept("name=front", "name=other") == ["front", "other"]
    assert kept("label=tier") == ["front", "back"]
    assert kept("label=tier=db", "driver=bridge") == ["back"]
    assert kept("label=tier=db", "driver=overlay") == []
    assert kept("dangling=true") == ["back", "other"]
    assert kept("id=id-f") == ["front"]
    with pytest.raises(InvalidInput) as caught:
        NETWORKS.parse(["color=red", "name"])
    assert len(caught.value.faults) == 2


def test_a_network_is_shown_with_its_endpoints_and_nodes() -> None:
    shown = view("front")
    shown.allocation.CopyFrom(NetworkAllocation(subnet="10.0.0.0/24"))
    shown.endpoints.append(
        NetworkEndpoint(task_name="web.1.x", node_hostname="h1", address="10.0.0.2", state=TaskState.RUNNING)
    )
    shown.nodes.add(hostname="h1", state=NodeStatus.READY, revision=7, up_to_date=True)
    shown.nodes.add(hostname="h2", state=NodeStatus.DOWN)
    assert row(shown)["subnet"] == "10.0.0.0/24"
    whole = document(shown)
    assert whole["nodes"] == [
        {"hostname": "h1", "state": "ready", "revision": 7, "up_to_date": True},
        {"hostname": "h2", "state": "down"},
    ]
    assert whole["endpoints"] == [
        {"task_name": "web.1.x", "node_hostname": "h1", "address": "10.0.0.2", "state": "running"}
    ]


def report(sent: int = 10, received: int = 10, mtu: int = 1500) -> PathReport:
    return PathReport(sent=sent, received=received, median_us=120, worst_us=2_000, mtu=mtu, expected_mtu=1500)


def test_verdicts_on_paths_and_ports() -> None:
    response = CheckNetworkResponse()
    for underlay in (report(), report(received=8), report(mtu=1400), report(received=0, mtu=0)):
        response.pairs.append(NodePair(from_hostname="h1", to_hostname="h2", underlay=underlay))
    rows = path_rows(response)
    assert [each["verdict"] for each in rows] == [
        "ok",
        "2 of 10 probes lost",
        "MTU is 1400 bytes, expected 1500",
        "no response",
    ]
    assert (rows[1]["loss"], rows[0]["median"], rows[0]["worst"]) == ("20%", "0.1 ms", "2.0 ms")
    assert port_row(PortCheck(port=80, open=True))["verdict"] == "ok"
    assert port_row(PortCheck(port=80, error="connection refused"))["verdict"] == "connection refused"


def test_compose_networks_whole() -> None:
    made = project(
        """
services:
  web:
    image: a
    networks:
      back: {priority: 5, ipv4_address: 10.5.0.7}
      front: {aliases: [www]}
networks:
  front: {driver: bridge, attachable: true, enable_ipv6: false, labels: {tier: web}}
  back:
    internal: true
    ipam:
      driver: default
      config:
        - {subnet: 10.5.0.0/24, gateway: 10.5.0.9, ip_range: 10.5.0.128/25, aux_addresses: {printer: 10.5.0.10}}
"""
    )
    front, back = made.networks
    assert (front.driver, front.attachable, dict(front.labels)) == ("bridge", True, {"tier": "web"})
    assert back == NetworkSpec(
        name="shop_back",
        driver="overlay",
        stack="shop",
        internal=True,
        subnet="10.5.0.0/24",
        gateway="10.5.0.9",
        ip_range="10.5.0.128/25",
        aux_addresses={"printer": "10.5.0.10"},
    )
    first, second = made.services[0].task.networks
    assert (first.network, first.address, list(first.aliases)) == ("shop_back", "10.5.0.7", ["web"])
    assert (second.network, list(second.aliases)) == ("shop_front", ["web", "www"])


@pytest.mark.parametrize("mode", ["host", "none", "bridge"])
def test_compose_network_modes(mode: str) -> None:
    made = project(f"services: {{web: {{image: a, network_mode: {mode}}}}}")
    assert list(made.services[0].task.networks) == [NetworkAttachment(network=mode)]
    assert made.networks == ()
    by_name = project(
        f"services: {{web: {{image: a, networks: [out]}}}}\nnetworks: {{out: {{external: true, name: {mode}}}}}"
    )
    assert list(by_name.services[0].task.networks) == [NetworkAttachment(network=mode)]


def test_compose_shares_the_network_of_a_service_of_the_file() -> None:
    made = project("services: {db: {image: a}, web: {image: a, network_mode: 'service:db'}}")
    by_name = {spec.name: spec for spec in made.services}
    assert list(by_name["shop_web"].task.networks) == [NetworkAttachment(network="service:shop_db")]
    assert not by_name["shop_web"].depends_on
    assert [network.name for network in made.networks] == ["shop_default"]


def test_the_command_line_shares_the_network_of_a_service() -> None:
    spec = ServiceSpec()
    add_network(spec, "service:db")
    assert list(spec.task.networks) == [NetworkAttachment(network="service:db")]
    remove_network(spec, "service:db")
    assert not spec.task.networks


def test_compose_faults_name_their_place() -> None:
    assert faults(
        """
services:
  web:
    image: a
    network_mode: "service:nobody"
  db:
    image: a
    networks: {front: {gw_priority: 1}, gone: }
networks:
  front:
    enable_ipv4: false
    ipam: {driver: other, options: {a: b}, config: [{subnet: 10.1.0.0/24}, {subnet: 10.2.0.0/24}]}
"""
    ) == [
        "services.web.network_mode",
        "services.db.networks.gone",
        "services.db.networks.front.gw_priority",
        "networks.front.enable_ipv4",
        "networks.front.ipam.driver",
        "networks.front.ipam.options",
        "networks.front.ipam.config[1]",
    ]


def test_compose_networks_with_ipv6() -> None:
    made = project(
        """
services:
  web: {image: a, networks: {front: {ipv4_address: 10.6.0.7, ipv6_address: "fd12:0::7"}}}
networks:
  front:
    enable_ipv6: true
    ipam:
      config:
        - {subnet: 10.6.0.0/24}
        - {subnet: "fd12::/64", gateway: "fd12::1", ip_range: "fd12::1000/116", aux_addresses: {nas: "fd12::9"}}
"""
    )
    assert made.networks[0] == NetworkSpec(
        name="shop_front",
        driver="overlay",
        stack="shop",
        ipv6=True,
        subnet="10.6.0.0/24",
        subnet6="fd12::/64",
        gateway6="fd12::1",
        ip_range6="fd12::1000/116",
        aux_addresses6={"nas": "fd12::9"},
    )
    assert (made.services[0].task.networks[0].address, made.services[0].task.networks[0].address6) == (
        "10.6.0.7",
        "fd12::7",
    )


def test_flags_of_a_network_are_sorted_by_family() -> None:
    spec = NetworkSpec()
    given = {"--subnet": ["fd12::/64", "10.6.0.0/24"], "--gateway": ["10.6.0.9"], "--ip-range": ["fd12::1000/116"]}
    set_pools(spec, given, ["nas=fd12::9", "printer=10.6.0.10"])
    assert spec == NetworkSpec(
        subnet="10.6.0.0/24",
        subnet6="fd12::/64",
        gateway="10.6.0.9",
        ip_range6="fd12::1000/116",
        aux_addresses={"printer": "10.6.0.10"},
        aux_addresses6={"nas": "fd12::9"},
    )
    reported = [str(fault) for fault in set_pools(spec, {"--subnet": ["fd13::/64"]}, ["=10.6.0.10"])]
    assert reported == [
        "--subnet fd13::/64: only one IPv6 value is allowed",
        "--aux-address: '=10.6.0.10' must be in the form NAME=ADDRESS",
    ]


def test_options_of_a_driver_reach_the_server_which_refuses_them_by_name() -> None:
    made = project("services: {web: {image: a}}\nnetworks: {front: {driver_opts: {com.example.mtu: 1400}}}")
    assert dict(made.networks[0].options) == {"com.example.mtu": "1400"}
