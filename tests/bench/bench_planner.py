"""The planner alone, on one core, without etcd: `python -m tests.bench.bench_planner [tasks] [nodes]`.

A new service is planned over empty nodes, then a pass without a change (full and incremental), then a lost node.
"""

import gc
import resource
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from manager.planner.agenda import Agenda
from manager.planner.collector import uncollected
from manager.planner.plan import Outcome, plan
from manager.store import kinds
from manager.store.changes import Change, Write
from manager.store.tables import Tables
from shoal.api.v1.meta_pb2 import Meta, Resources
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, Replicated, Service, ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.bench.figures import Figure

NOW_MS = 1_800_000_000_000
T = TypeVar("T")


def timed(label: str, tasks: int, work: Callable[[], T]) -> T:
    gc.collect()
    began = time.process_time()
    result = work()
    seconds = time.process_time() - began
    print(f"{label:<42} {seconds * 1000:10.1f} ms {tasks / seconds:12,.0f} tasks/s")
    return result


def commit(tables: Tables, agenda: Agenda | None, writes: list[Write] | tuple[Write, ...]) -> None:
    changes = [Change(w.kind, w.identifier, tables.rows(w.kind).get(w.identifier), w.value) for w in writes]
    tables.apply(changes, tables.revision + 1)
    if agenda is not None:
        agenda.note(changes)


def cluster(tasks: int, nodes: int, services: int, *, overlay: bool) -> Tables:
    tables = Tables()
    writes = []
    for number in range(nodes):
        name = f"node{number:09d}"
        description = NodeDescription(hostname=name, resources=Resources(nano_cpus=10**14, memory_bytes=1 << 50))
        status = NodeStatus(node_id=name, state=NodeStatus.READY, description=description)
        writes += [Write(kinds.NODE, name, Node(meta=Meta(id=name))), Write(kinds.NODE_STATUS, name, status)]  # type: ignore[arg-type]
    network = Network(meta=Meta(id="net"), spec=NetworkSpec(name="net", subnet="10.0.0.0/8"))
    writes.append(Write(kinds.NETWORK, "net", network))  # type: ignore[arg-type]
    template = TaskTemplate(reservations=Resources(nano_cpus=10**7, memory_bytes=1 << 20))
    if overlay:
        template.networks.append(NetworkAttachment(network="net"))
    for number in range(services):
        name = f"service{number:06d}"
        spec = ServiceSpec(name=name, task=template, replicated=Replicated(replicas=tasks // services))
        service = Service(meta=Meta(id=name), spec=spec, revision=1, task_revision=1)
        revision = ServiceRevision(service_id=name, number=1, spec=spec)
        writes += [Write(kinds.SERVICE, name, service), Write(kinds.REVISION, f"{name}/1", revision)]  # type: ignore[arg-type]
    commit(tables, None, writes)
    return tables


def measure(tasks: int, nodes: int, services: int, *, overlay: bool) -> None:
    print(f"{tasks:,} tasks, {nodes:,} nodes, {services:,} services, {'overlay' if overlay else 'no network'}")
    tables = cluster(tasks, nodes, services, overlay=overlay)
    numbers = count()

    def new_id() -> str:
        return f"t{next(numbers):012d}"

    agenda = timed("  the agenda of a new term", tasks, lambda: Agenda(tables))

    def step(later_ms: int = 0) -> Outcome:
        with uncollected():  # as the loop does
            return agenda.plan(now_ms=NOW_MS + later_ms, new_id=new_id)

    outcome = timed("  schedule all", tasks, step)
    commit(tables, agenda, outcome.writes)
    statuses = [TaskStatus(task_id=name, state=TaskState.RUNNING, at_ms=NOW_MS) for name in tables.tasks]
    commit(tables, agenda, [Write(kinds.TASK_STATUS, each.task_id, each) for each in statuses])  # type: ignore[arg-type]
    assert not timed("  after all have started", tasks, step).writes
    assert not timed("  nothing changed", tasks, step).writes
    assert not timed("  nothing changed, full pass", tasks, lambda: full(agenda, step)).writes
    assert not timed("  nothing changed, full pass by a new leader", tasks, lambda: plan_all(tables)).writes
    lost = NodeStatus()
    lost.CopyFrom(tables.node_status["node000000003"])
    lost.state = NodeStatus.DOWN
    moved = len(tables.tasks_on("node000000003"))
    commit(tables, agenda, [Write(kinds.NODE_STATUS, "node000000003", lost)])  # type: ignore[arg-type]
    outcome = timed(f"  a lost node with {moved} tasks", moved, step)
    assert sum(isinstance(write.value, Task) for write in outcome.writes) == 2 * moved
    update(tables, agenda, tasks // services, lambda: step(10_000))
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB\n")


def update(tables: Tables, agenda: Agenda, tasks: int, step: Callable[[], Outcome]) -> None:
    """One of the services gets another image: its first pass, and one after some of its tasks have been replaced."""
    service = Service()
    service.CopyFrom(tables.services["service000000"])
    service.spec.task.container.image = "hello:2"
    service.spec.update.parallelism = 10
    service.revision = service.task_revision = 2
    revision = ServiceRevision(service_id="service000000", number=2, spec=service.spec)
    writes = [
        Write(kinds.SERVICE, "service000000", service),  # type: ignore[arg-type]
        Write(kinds.REVISION, "service000000/2", revision),  # type: ignore[arg-type]
    ]
    commit(tables, agenda, writes)
    outcome = timed(f"  an update of {tasks:,} tasks begins", tasks, step)
    for _ in range(3):
        commit(tables, agenda, outcome.writes)
        for write in outcome.writes:
            if isinstance(write.value, Task):
                state = TaskState.RUNNING if write.value.desired_state == TaskState.RUNNING else TaskState.SHUTDOWN
                told = TaskStatus(task_id=write.identifier, state=state, at_ms=NOW_MS + 9_000)
                told.running_at_ms = NOW_MS + 9_000
                commit(tables, agenda, [Write(kinds.TASK_STATUS, write.identifier, told)])  # type: ignore[arg-type]
        outcome = timed("  a step of it", tasks, step)


def figures(tasks: int = 10_000, nodes: int = 1_000) -> list[Figure]:
    """The planner alone: no etcd, no agents, no containers."""
    tables = cluster(tasks, nodes, 1, overlay=True)
    agenda, numbers = Agenda(tables), count()
    began = time.process_time()
    with uncollected():  # as the loop does
        outcome = agenda.plan(now_ms=NOW_MS, new_id=lambda: f"t{next(numbers):012d}")
    seconds = time.process_time() - began
    assert sum(isinstance(write.value, Task) for write in outcome.writes) == tasks
    name = f"plan {tasks:,} tasks over {nodes:,} nodes, overlay"
    return [Figure(name, tasks / seconds, "tasks/s", scope="planner alone")]


def full(agenda: Agenda, step: Callable[[], Outcome]) -> Outcome:
    """As the loop makes it each minute, without the pauses."""
    for _ in agenda.audit():
        pass
    agenda.correct()
    return step()


def plan_all(tables: Tables) -> Outcome:
    found = plan(tables, now_ms=NOW_MS, new_id=lambda: "none")
    return Outcome(found.writes, {}, frozenset())


def main() -> None:
    """One size as asked, or a row of sizes."""
    sizes = [(1_000, 100), (10_000, 1_000), (100_000, 10_000)]
    if len(sys.argv) > 2:
        sizes = [(int(sys.argv[1]), int(sys.argv[2]))]
    for tasks, nodes in sizes:
        measure(tasks, nodes, 1, overlay=False)
    tasks, nodes = sizes[-1]
    measure(tasks, nodes, max(1, tasks // 1000), overlay=True)


if __name__ == "__main__":
    main()
