"""Figures of virtual addresses: run `python -m tests.bench.bench_vip`.

New connections a second, by a virtual address and straight to the task that it leads to, both over the overlay and both
tracked; and what one change in a service of 1,000 tasks costs a manager and a node. Rounds alternate.
"""

import json
import os
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.store.changes import Change
from manager.store.kinds import ALLOCATION, NETWORK, NODE_STATUS, SERVICE, SERVICE_STATUS, TASK, TASK_STATUS, Kind, M
from manager.store.tables import Tables
from shoal.api.v1.dispatcher_pb2 import ServiceEndpoint, TaskEndpoint
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import Service, ServiceSpec, ServiceStatus, VirtualAddress
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState, TaskStatus
from tests.bench.rig.figures import Figure, p50, table
from tests.integration.network.netns_hosts import Hosts, endpoint, inside, network, task

ROUNDS = 9
SECONDS = 1.0
TASKS = 1_000
CHANGES = 20
VIP = "10.99.200.1"
NODES = ("n1", "n2", "n3")


def report(name: str, **figures: object) -> None:
    print(json.dumps({"bench": name, **figures}), flush=True)


@contextmanager
def server(descriptor: int) -> Iterator[None]:
    """A process that accepts on port 80, answers a byte and closes."""
    with inside(descriptor):
        listener = socket.create_server(("", 80), backlog=1024)
    if not (child := os.fork()):
        while True:
            connection, _ = listener.accept()
            connection.send(b"x")
            connection.close()
    listener.close()
    try:
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def rate(descriptor: int, address: str) -> float:
    """Connections a second, one after another."""
    count, begin = 0, time.perf_counter()
    with inside(descriptor):
        while (now := time.perf_counter()) - begin < SECONDS:
            with socket.create_connection((address, 80), timeout=5) as client:
                client.recv(1)
            count += 1
    return count / (now - begin)


def measure() -> list[Figure]:
    """New connections by a virtual address and straight, in turn."""
    with Hosts() as hosts:
        hosts.start()
        web = endpoint(1, hosts.two, 1)
        # One each, else tracked flows of one way keep source ports from the other.
        clients = [endpoint(number, hosts.one, 1, service="client") for number in (8, 9)]
        hosts.apply([network(1)], [web, *clients], _service("10.99.1.200"))
        straight, virtual = (hosts.attach(hosts.one, task(client)).netns_fd for client in clients)
        with server(hosts.attach(hosts.two, task(web)).netns_fd):
            pairs = [(rate(straight, "10.99.1.1"), rate(virtual, "10.99.1.200")) for _ in range(ROUNDS)]
    directly, by_virtual = (p50(values) for values in zip(*pairs, strict=True))
    ratio = p50([one / other for other, one in pairs])
    return [
        Figure("connections a second, straight and tracked", directly, "/s", scope="floor"),
        Figure("  by a virtual address", by_virtual, "/s", scope="node network"),
        Figure("  against straight", ratio, "of it", at_least=0.95, scope="node network"),
    ]


def change_on_a_node() -> list[float]:
    """Milliseconds until a node's kernel has withdrawn one of 1,000 tasks."""
    spent = []
    with Hosts() as hosts:
        hosts.start()
        wide = network(1)
        wide.subnet = "10.99.0.0/16"
        endpoints = [_endpoint(number, hosts.two.node_id) for number in range(TASKS)]
        hosts.apply([wide], endpoints, _service(VIP))
        peers = [hosts.one.peer, hosts.two.peer]
        for number in range(CHANGES):
            endpoints[number * 7] = _endpoint(number * 7, hosts.two.node_id, ready=False)
            begin = time.perf_counter()
            hosts.one.assign([wide], endpoints, peers, [_service(VIP)])
            spent.append((time.perf_counter() - begin) * 1000)
    return spent


def change_in_a_manager() -> list[float]:
    """Milliseconds from the store's word to the messages for three nodes."""
    tables = _records()
    index = AssignmentIndex(tables)
    spent = []
    for number in range(CHANGES):
        begin = time.perf_counter()
        new = Task()
        new.CopyFrom(tables.tasks[f"t{number}"])
        new.desired_state = TaskState.SHUTDOWN
        change = _put(tables, TASK, new.id, new)
        for node_id, marks in index.update([change]).items():
            index.changes(node_id, marks).assignments.SerializeToString()
        spent.append((time.perf_counter() - begin) * 1000)
    return spent


def _put(tables: Tables, kind: Kind[M], identifier: str, value: M) -> Change:
    change = Change(kind, identifier, tables.rows(kind).get(identifier), value)  # type: ignore[arg-type]
    tables.apply([change], tables.revision + 1)
    return change


def _records() -> Tables:
    tables = Tables()
    address = [VirtualAddress(network_id="net1", address=VIP)]
    _put(tables, NETWORK, "net1", Network(meta=Meta(id="net1"), spec=NetworkSpec(name="net-1")))
    _put(tables, ALLOCATION, "net1", NetworkAllocation(network_id="net1", subnet="10.99.0.0/16"))
    _put(tables, SERVICE, "web", Service(meta=Meta(id="web"), spec=ServiceSpec(name="web")))
    _put(tables, SERVICE_STATUS, "web", ServiceStatus(service_id="web", virtual_addresses=address))
    for number, node_id in enumerate(NODES):
        described = NodeDescription(address=f"192.0.2.{number}", vtep_mac=f"02:56:00:00:00:0{number}")
        _put(tables, NODE_STATUS, node_id, NodeStatus(node_id=node_id, state=NodeStatus.READY, description=described))
    for number in range(TASKS):
        place = TaskAddress(network_id="net1", address=_address(number))
        record = Task(id=f"t{number}", service_id="web", revision=1, node_id=NODES[number % 3], addresses=[place])
        record.state, record.desired_state = TaskState.ASSIGNED, TaskState.RUNNING
        _put(tables, TASK, record.id, record)
        _put(tables, TASK_STATUS, record.id, TaskStatus(task_id=record.id, state=TaskState.RUNNING))
    return tables


def _address(number: int) -> str:
    return f"10.99.{1 + number // 200}.{1 + number % 200}"


def _endpoint(number: int, node_id: str, *, ready: bool = True) -> TaskEndpoint:
    return TaskEndpoint(
        task_id=f"task{number:09}",
        service_id="id-of-web",
        service_name="web",
        slot=1,
        node_id=node_id,
        addresses=[TaskAddress(network_id="net1", address=_address(number))],
        ready=ready,
    )


def _service(address: str) -> ServiceEndpoint:
    places = [VirtualAddress(network_id="net1", address=address)]
    return ServiceEndpoint(service_id="id-of-web", service_name="web", virtual_addresses=places)


def main() -> None:
    """Measure all."""
    for where, spent in (("on a node", change_on_a_node()), ("in a manager", change_in_a_manager())):
        median, worst = statistics.median(spent), max(spent)
        report(f"one change of {TASKS} tasks {where}", median_ms=round(median, 2), worst_ms=round(worst, 2))
    print(table(measure()))


if __name__ == "__main__":
    main()
