"""Stacks of Docker's clients are stacks of the cluster, and the other way round."""

from typing import Any

import pytest

from engine.protocol.versions import NEWEST
from engine.translate import volumes
from engine.translate.networks import matches, network_document, read_network
from engine.translate.stack_labels import STACK_LABEL
from engine.translate.swarm import swarm_files
from engine.translate.swarm.service_spec import read_service, service_spec_document
from engine.translate.volumes import read_volume, volume_document
from shoal.api.v1.control_pb2 import FileView, NetworkView, VolumeView
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import Volume, VolumeSpec

FILTER = {"label": [f"{STACK_LABEL}=st"]}


def stacks_of(name: str, stack: str) -> list[str]:
    """The stack of each kind of object with such a label."""
    request: dict[str, Any] = {"Name": name, "Labels": {STACK_LABEL: stack}}
    return [
        read_service(request, NEWEST).stack,
        read_network(request, NEWEST).stack,
        read_volume(request, "anonymous", NEWEST).stack,
        swarm_files.read_file(request).spec.stack,
    ]


def test_the_label_becomes_the_stack() -> None:
    assert stacks_of("st_web", "st") == ["st"] * 4
    assert stacks_of("web", "") == [""] * 4


def test_a_service_with_another_name_is_outside_the_stack() -> None:
    assert stacks_of("web", "st") == ["", "st", "st", "st"]


@pytest.mark.parametrize("stack", ["my.app", "-a", "a_", "a b", "a" * 64, "\n"])
def test_a_name_that_is_none_for_the_cluster_stays_a_label(stack: str) -> None:
    assert stacks_of(f"{stack}_web", stack) == [""] * 4
    spec = read_service({"Name": "web", "Labels": {STACK_LABEL: stack}}, NEWEST)
    assert service_spec_document(spec, defaults=False)["Labels"] == {STACK_LABEL: stack}


def test_objects_of_the_clusters_stacks_have_the_label_for_clients() -> None:
    label = {STACK_LABEL: "st"}
    service = ServiceSpec(name="st_web", stack="st")
    assert service_spec_document(service, defaults=False)["Labels"] == label
    network = network_document(NetworkView(network=Network(spec=NetworkSpec(name="st_n", stack="st"))), NEWEST)
    assert network["Labels"] == label
    assert matches(network, FILTER)
    volume = VolumeView(volume=Volume(spec=VolumeSpec(name="st_v", stack="st")))
    assert volume_document(volume)["Labels"] == label
    assert volumes.matches(volume, FILTER, frozenset())
    file = FileView(spec=FileSpec(name="st_f", stack="st"))
    assert swarm_files.file_document(file, with_data=False)["Spec"]["Labels"] == label
    assert swarm_files.matches(file, FILTER)


def test_a_client_that_sends_back_what_it_has_read_changes_no_stack() -> None:
    document = service_spec_document(ServiceSpec(name="st_web", stack="st"), defaults=False)
    assert read_service(document, NEWEST).stack == "st"
