"""What a node is told of its networks: whole ones, ones that end at each node, and the keys for encrypted ones."""

from manager.dispatcher.assignments.network_visibility import NetworkVisibility
from manager.dispatcher.assignments.task_entries import TaskEntry
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.api.v1.task_pb2 import Task, TaskAddress

NODES = {"front": {"here", "far"}, "local": {"here", "beside"}, "vault": {"here", "safe"}}


def visibility(node_id: str = "here") -> NetworkVisibility:
    networks = {
        "front": NetworkAssignment(network_id="front"),
        "local": NetworkAssignment(network_id="local", node_local=True),
        "vault": NetworkAssignment(network_id="vault", key_generation=1),
    }
    return NetworkVisibility(node_id, networks, NODES.__getitem__)


def on(node_id: str, *networks: str) -> TaskEntry:
    addresses = [TaskAddress(network_id=name, address="10.0.0.2") for name in networks]
    endpoint = TaskEndpoint(task_id="t", node_id=node_id, addresses=addresses)
    return TaskEntry(Task(id="t", node_id=node_id), live=True, endpoint=endpoint, networks=frozenset(networks))


def seen(entry: TaskEntry) -> list[str] | None:
    endpoint = visibility().endpoint(entry)
    return [place.network_id for place in endpoint.addresses] if endpoint is not None else None


def test_a_task_is_told_of_on_the_networks_that_the_node_is_on() -> None:
    whole = on("far", "front")
    assert visibility().endpoint(whole) is whole.endpoint
    assert seen(on("far", "front", "elsewhere")) == ["front"]
    assert seen(on("far", "elsewhere")) is None
    assert visibility().endpoint(TaskEntry(Task(id="t", node_id="far"), live=False, endpoint=None)) is None


def test_on_a_network_that_ends_at_each_node_only_its_own_tasks_are() -> None:
    assert seen(on("here", "front", "local")) == ["front", "local"]
    assert seen(on("beside", "front", "local")) == ["front"]
    assert seen(on("beside", "local")) is None


def test_peers_are_those_on_networks_in_common_and_have_keys_only_if_one_is_encrypted() -> None:
    keys = [OverlayKey(generation=1, public_key=b"k")]
    reported = {
        name: visibility().peer(Peer(node_id=name, keys=keys)) for name in ("here", "far", "beside", "safe", "stranger")
    }
    assert reported["here"] is reported["beside"] is reported["stranger"] is None
    assert reported["far"] == Peer(node_id="far")
    assert reported["safe"] == Peer(node_id="safe", keys=keys)
