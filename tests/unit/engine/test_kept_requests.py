"""Requests that are kept, and what of them is told back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol.versions import NEWEST, ApiVersion
from engine.translate.kept_requests import MAX_KEPT_BYTES, as_sent, keep, read_kept
from engine.translate.networks import network_document, read_network
from engine.translate.volumes import read_volume, volume_document
from shoal.api.v1.control_pb2 import NetworkView, VolumeView
from shoal.api.v1.network_pb2 import Network, NetworkAllocation
from shoal.api.v1.volume_pb2 import Volume

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def network(request: dict[str, Any], subnet: str = "10.1.0.0/24") -> NetworkView:
    spec = read_network({"Name": "n", **request}, NEWEST)
    return NetworkView(network=Network(spec=spec), allocation=NetworkAllocation(subnet=subnet))


def volume(request: dict[str, Any]) -> dict[str, Any]:
    return volume_document(VolumeView(volume=Volume(spec=read_volume(request, "anonymous", NEWEST))))


@given(OBJECTS)
def test_what_is_kept_is_read_again(document: dict[str, Any]) -> None:
    assert read_kept(keep(document, ApiVersion(1, 44))) == (document, ApiVersion(1, 44))


@pytest.mark.parametrize("kept", [b"", b"{}", b"[]", b"x", b'{"Body":[],"Version":"1.50"}', b"[" * 60_000])
def test_what_cannot_be_read_is_none(kept: bytes) -> None:
    assert read_kept(kept) is None


def test_what_is_too_long_is_not_kept() -> None:
    assert keep({"a": "b" * MAX_KEPT_BYTES}, NEWEST) == b""


@given(OBJECTS, OBJECTS, OBJECTS)
def test_what_is_not_meant_any_more_is_never_told(current: dict[str, Any], then: dict[str, Any], sent: Any) -> None:
    document = as_sent(current, then, sent)
    named = {key.lower() for key in sent}
    for key, value in current.items():
        if key not in then or key.lower() not in named:
            assert document[key] == value
    assert not (document.keys() - current.keys()) & then.keys()
    assert document.keys() <= current.keys() | sent.keys()


@given(OBJECTS, OBJECTS)
def test_nothing_that_was_sent_is_what_is_in_force(current: dict[str, Any], then: dict[str, Any]) -> None:
    assert as_sent(current, then, {}) == current


def test_options_and_pools_of_networks_are_told_as_sent() -> None:
    sent = {
        "Options": {"com.docker.network.bridge.name": "br0"},
        "Attachable": True,
        "IPAM": {"Driver": "default", "Options": {"a": "b"}, "Config": [{"Subnet": "10.9.0.0/24", "IPRange": None}]},
    }
    document = network_document(network(sent, "10.9.0.0/24"), NEWEST)
    assert document["Options"] == sent["Options"]
    assert document["Attachable"] is True
    assert document["IPAM"] == {
        "Driver": "default",
        "Options": {"a": "b"},
        "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}],
    }


@pytest.mark.parametrize(
    ("ipam", "options"), [({}, None), ({"IPAM": {"Options": None}}, None), ({"IPAM": {"Options": {}}}, {})]
)
def test_absent_options_of_pools_are_not_empty_ones(ipam: dict[str, Any], options: object) -> None:
    document = network_document(network(ipam), NEWEST)
    assert document["IPAM"]["Options"] == options
    assert document["IPAM"]["Config"] == [{"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1"}]


def test_a_network_that_is_attachable_no_more_is_told_so() -> None:
    view = network({"Driver": "overlay", "Attachable": True})
    assert network_document(view, NEWEST)["Attachable"] is True
    view.network.spec.attachable = False
    assert network_document(view, NEWEST)["Attachable"] is False


def test_empty_maps_of_volumes_are_told_as_sent() -> None:
    assert (volume({"Name": "v"})["Labels"], volume({"Name": "v"})["Options"]) == (None, None)
    document = volume({"Name": "v", "Labels": {}, "DriverOpts": {}})
    assert (document["Labels"], document["Options"]) == ({}, {})
    assert volume({"Name": "v", "Labels": {"a": "b"}})["Labels"] == {"a": "b"}


def test_keys_of_another_case_are_told_as_the_document_writes_them() -> None:
    assert as_sent({"Order": "a"}, {"Order": "a"}, {"order": "A"}) == {"Order": "A"}
    assert as_sent({"Order": "b"}, {"Order": "a"}, {"order": "A"}) == {"Order": "b"}
    assert as_sent({}, {}, {"other": 1}) == {"other": 1}
