"""The records of one service on one network, for benches: as many tasks as wanted, spread over nodes."""

import time

from manager.store.changes import Write, put
from manager.store.kinds import (
    ALLOCATION,
    NETWORK,
    NODE,
    REVISION,
    SERVICE,
    SERVICE_STATUS,
    TASK,
    TASK_STATUS,
)
from manager.store.store import Store
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import Node
from shoal.api.v1.service_pb2 import (
    NetworkAttachment,
    Service,
    ServiceRevision,
    ServiceSpec,
    ServiceStatus,
    TaskTemplate,
    VirtualAddress,
)
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState, TaskStatus

NETWORK_ID, SERVICE_ID = "net000000001", "web000000001"
VIRTUAL = "10.99.255.1"


def task_id(number: int) -> str:
    """Of the task of this number."""
    return f"task{number:08}"


def task_address(number: int) -> str:
    """The address of the task of this number."""
    return f"10.99.{1 + number // 200}.{1 + number % 200}"


def task(number: int, node_id: str, desired: TaskState.ValueType = TaskState.RUNNING) -> Task:
    """A task as the planner writes it."""
    return Task(
        id=task_id(number),
        service_id=SERVICE_ID,
        revision=1,
        slot=number + 1,
        node_id=node_id,
        state=TaskState.ASSIGNED,
        desired_state=desired,
        addresses=[TaskAddress(network_id=NETWORK_ID, address=task_address(number))],
    )


def running(number: int) -> TaskStatus:
    """Its agent says that it runs."""
    return TaskStatus(task_id=task_id(number), state=TaskState.RUNNING, at_ms=1_700_000_000_000 + number)


async def write_records(store: Store, nodes: list[str], tasks: int) -> None:
    """The service with its network, and its running tasks, in turn on the nodes."""
    spec = ServiceSpec(name="web", task=TaskTemplate(networks=[NetworkAttachment(network=NETWORK_ID)]))
    status = ServiceStatus(
        service_id=SERVICE_ID, virtual_addresses=[VirtualAddress(network_id=NETWORK_ID, address=VIRTUAL)]
    )
    writes: list[Write] = [
        *(put(NODE, node_id, Node(meta=Meta(id=node_id))) for node_id in nodes),
        put(NETWORK, NETWORK_ID, Network(meta=Meta(id=NETWORK_ID), spec=NetworkSpec(name="wide"))),
        put(ALLOCATION, NETWORK_ID, NetworkAllocation(network_id=NETWORK_ID, subnet="10.99.0.0/16")),
        put(SERVICE, SERVICE_ID, Service(meta=Meta(id=SERVICE_ID), spec=spec)),
        put(REVISION, f"{SERVICE_ID}/1", ServiceRevision(service_id=SERVICE_ID, number=1, spec=spec)),
        put(SERVICE_STATUS, SERVICE_ID, status),
        *(put(TASK, task_id(number), task(number, nodes[number % len(nodes)])) for number in range(tasks)),
        *(put(TASK_STATUS, task_id(number), running(number)) for number in range(tasks)),
    ]
    await store.commit_in_batches(writes)


async def stop_one(store: Store, number: int) -> tuple[float, float]:
    """The planner wants one task to stop; when the commit began and when it was done (CLOCK_MONOTONIC, seconds)."""
    task_record = Task()
    task_record.CopyFrom(store.tables.tasks[task_id(number)])
    task_record.desired_state = TaskState.SHUTDOWN
    begin = time.monotonic()
    await store.commit([put(TASK, task_record.id, task_record)])
    return begin, time.monotonic()


async def add_one(store: Store, number: int, node_id: str) -> tuple[float, float]:
    """One more task, which runs; as `stop_one`."""
    begin = time.monotonic()
    await store.commit(
        [put(TASK, task_id(number), task(number, node_id)), put(TASK_STATUS, task_id(number), running(number))]
    )
    return begin, time.monotonic()
