"""The planner alone, one core, no etcd.

Run `python -m tests.bench.control_plane.bench_planner [TASKS NODES [SERVICES [NETWORKS]]]`.

New services are planned over empty nodes, then a pass without a change (full and incremental), then a lost node, then
an update. Each size has a process of its own, so that its peak memory is its own. Seconds are those of the processor.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from manager.planner.gc_pause import gc_paused
from manager.planner.incremental_planner import IncrementalPlanner
from manager.planner.plan import PassResult, plan
from manager.store import kinds
from manager.store.changes import Change, Write
from manager.store.tables import Tables
from shoal.api.v1.meta_pb2 import Meta, Resources
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, Replicated, Service, ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.bench.rig.figures import Figure, table

NOW_MS = 1_800_000_000_000
T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """A cluster to be planned; with more services than one, each has an address for every task on a network."""

    tasks: int
    nodes: int
    services: int = 1
    networks: int = 1

    @property
    def words(self) -> list[str]:
        """As the command line takes it."""
        return [str(self.tasks), str(self.nodes), str(self.services), str(self.networks)]

    def __str__(self) -> str:
        networks = f"{self.networks:,} overlay networks" if self.networks > 1 else "one overlay network"
        what = f"{self.services:,} services on {networks}" if self.services > 1 else "1 service, no network"
        return f"{self.tasks:,} tasks, {self.nodes:,} nodes, {what}"


ROW = (Size(1_000, 100), Size(10_000, 1_000), Size(100_000, 10_000), Size(1_000_000, 10_000))
"""What the cost of a task is compared over."""
OVERLAY = (Size(100_000, 10_000, 100), Size(1_000_000, 10_000, 1_000))
NETWORKS = (Size(2_500, 1_000, 500, 500), Size(10_000, 1_000, 2_000, 2_000))
"""Each service on a network of its own, that it shares with nobody."""
RATED = 100_000
_REPEATS = {1_000: 20, 10_000: 5, 100_000: 2}
"""How often more sizes are scheduled that take too little time to be measured once."""


class Clock:
    """Processor time of each part of the work, seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, tasks: int, work: Callable[[], T]) -> T:
        """Do it; the least of several times under one name is kept."""
        gc.collect()
        began = time.process_time()
        result = work()
        seconds = time.process_time() - began
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))
        print(f"  {name:<42} {seconds * 1000:10.1f} ms {tasks / seconds:12,.0f} tasks/s", file=sys.stderr)
        return result


def commit(tables: Tables, agenda: IncrementalPlanner | None, writes: list[Write] | tuple[Write, ...]) -> None:
    changes = [Change(w.kind, w.identifier, tables.rows(w.kind).get(w.identifier), w.value) for w in writes]
    tables.apply(changes, tables.revision + 1)
    if agenda is not None:
        agenda.observe(changes)


def cluster(size: Size) -> Tables:
    tables, overlay = Tables(), size.services > 1
    writes = []
    for number in range(size.nodes):
        name = f"node{number:09d}"
        description = NodeDescription(hostname=name, resources=Resources(nano_cpus=10**14, memory_bytes=1 << 50))
        description.address = f"198.18.{number >> 8}.{number & 255}"
        description.host_prefixes.extend(["198.18.0.0/15", "172.17.0.0/16", "fd77:1::/64"])
        status = NodeStatus(node_id=name, state=NodeStatus.READY, description=description)
        writes += [Write(kinds.NODE, name, Node(meta=Meta(id=name))), Write(kinds.NODE_STATUS, name, status)]  # type: ignore[arg-type]
    for number in range(size.networks):
        spec_of_it = NetworkSpec(name=f"net{number}", subnet="10.0.0.0/8" if size.networks == 1 else "")
        network = Network(meta=Meta(id=f"net{number}"), spec=spec_of_it)
        writes.append(Write(kinds.NETWORK, network.meta.id, network))  # type: ignore[arg-type]
    reserved = Resources(nano_cpus=10**7, memory_bytes=1 << 20)
    for number in range(size.services):
        name = f"service{number:06d}"
        template = TaskTemplate(reservations=reserved)
        if overlay:
            template.networks.append(NetworkAttachment(network=f"net{number % size.networks}"))
        replicas = size.tasks // size.services
        spec = ServiceSpec(name=name, task=template, replicated=Replicated(replicas=replicas))
        service = Service(meta=Meta(id=name), spec=spec, revision=1, task_revision=1)
        revision = ServiceRevision(service_id=name, number=1, spec=spec)
        writes += [Write(kinds.SERVICE, name, service), Write(kinds.REVISION, f"{name}/1", revision)]  # type: ignore[arg-type]
    commit(tables, None, writes)
    return tables


def measure(size: Size) -> dict[str, float]:
    """Seconds of the processor by what they were spent on, and `peak_bytes`."""
    print(size, file=sys.stderr)
    clock, tasks = Clock(), size.tasks
    for _ in range(_REPEATS.get(tasks, 0)):
        _schedule(clock, size)
    tables, agenda, step = _schedule(clock, size)
    statuses = [TaskStatus(task_id=name, state=TaskState.RUNNING, at_ms=NOW_MS) for name in tables.tasks]
    commit(tables, agenda, [Write(kinds.TASK_STATUS, each.task_id, each) for each in statuses])  # type: ignore[arg-type]
    assert not clock.timed("after all have started", tasks, step).writes
    assert not clock.timed("nothing changed", tasks, step).writes
    assert not clock.timed("full pass", tasks, lambda: full(agenda, step)).writes
    assert not clock.timed("full pass by a new leader", tasks, lambda: plan_all(tables)).writes
    lost = NodeStatus()
    lost.CopyFrom(tables.node_status["node000000003"])
    lost.state = NodeStatus.DOWN
    moved = len(tables.tasks_on("node000000003"))
    commit(tables, agenda, [Write(kinds.NODE_STATUS, "node000000003", lost)])  # type: ignore[arg-type]
    outcome = clock.timed("lost node", moved, step)
    assert sum(isinstance(write.value, Task) for write in outcome.writes) == 2 * moved
    update(clock, tables, agenda, tasks // size.services, lambda: step(10_000))
    return {**clock.seconds, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}


def _schedule(clock: Clock, size: Size) -> tuple[Tables, IncrementalPlanner, Callable[..., PassResult]]:
    """Plan everything over empty nodes, and commit it."""
    tables = cluster(size)
    numbers = count()

    def new_id() -> str:
        return f"t{next(numbers):012d}"

    agenda = clock.timed("the agenda of a new term", size.tasks, lambda: IncrementalPlanner(tables))

    def step(later_ms: int = 0) -> PassResult:
        with gc_paused():  # as the loop does
            return agenda.plan(now_ms=NOW_MS + later_ms, new_id=new_id)

    outcome = clock.timed("schedule all", size.tasks, step)
    commit(tables, agenda, outcome.writes)
    return tables, agenda, step


def update(
    clock: Clock, tables: Tables, agenda: IncrementalPlanner, tasks: int, step: Callable[[], PassResult]
) -> None:
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
    outcome = clock.timed("an update of one service begins", tasks, step)
    for _ in range(3):
        commit(tables, agenda, outcome.writes)
        for write in outcome.writes:
            if isinstance(write.value, Task):
                state = TaskState.RUNNING if write.value.desired_state == TaskState.RUNNING else TaskState.SHUTDOWN
                reported = TaskStatus(task_id=write.identifier, state=state, at_ms=NOW_MS + 9_000)
                reported.running_at_ms = NOW_MS + 9_000
                commit(tables, agenda, [Write(kinds.TASK_STATUS, write.identifier, reported)])  # type: ignore[arg-type]
        outcome = clock.timed("a step of it", tasks, step)


def figures() -> list[Figure]:
    """The planner alone: no etcd, no agents, no containers."""
    found = {size: in_child(size) for size in (*ROW, *OVERLAY, *NETWORKS)}
    alone, seconds = "planner alone", {size: found[size]["schedule all"] for size in found}
    large, full_pass, lost = OVERLAY[-1], found[ROW[-1]]["full pass"], found[ROW[-1]]["lost node"] * 1000
    costs = [seconds[size] / size.tasks * 1e6 for size in ROW]
    reported = f"{min(costs):.1f} to {max(costs):.1f} µs a task from {ROW[0].tasks:,} to {ROW[-1].tasks:,} tasks"
    rates = [size for size in found if size.tasks == RATED]
    wholes = [size for size in found if size.tasks == ROW[-1].tasks]
    of_network = [seconds[size] / size.networks * 1e6 for size in NETWORKS]
    growth = f"{of_network[0]:.0f} to {of_network[-1]:.0f} µs from {NETWORKS[0].networks} to {NETWORKS[-1].networks:,}"
    return [
        *(Figure(f"plan {size}", size.tasks / seconds[size], "tasks/s", None, 100_000, alone) for size in rates),
        *(Figure(f"plan {size}", seconds[size], "s", 15, None, alone) for size in wholes),
        Figure(f"plan {NETWORKS[-1]}", seconds[NETWORKS[-1]], "s", None, None, alone),
        Figure(
            f"… cost of a network, to that with fewer ({growth})", of_network[-1] / of_network[0], "", 1.5, None, alone
        ),
        Figure(f"… peak memory of {large}", found[large]["peak_bytes"] / 1e6, "MB", 4_000, None, alone),
        Figure("a full pass over 1,000,000 tasks without a change", full_pass, "s", 1, None, alone),
        Figure("one lost node of 10,000, with 100 tasks", lost, "ms", 100, None, alone),
        Figure(f"greatest cost of a task to the least ({reported})", max(costs) / min(costs), "", 1.5, None, alone),
    ]


def in_child(size: Size) -> Mapping[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.control_plane.bench_planner", *size.words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def full(agenda: IncrementalPlanner, step: Callable[[], PassResult]) -> PassResult:
    """As the loop makes it each minute, without the pauses."""
    for _ in agenda.audit():
        pass
    agenda.repair()
    return step()


def plan_all(tables: Tables) -> PassResult:
    found = plan(tables, now_ms=NOW_MS, new_id=lambda: "none")
    return PassResult(found.writes, {}, frozenset())


def main() -> None:
    """One size as asked, or the figures of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", nargs="*", type=int, metavar="NUMBER", help="tasks, nodes, services, networks")
    parser.add_argument("--json", action="store_true", help="one line of JSON on standard output")
    asked = parser.parse_args()
    if not asked.size:
        print(table(figures()))
        return
    found = measure(Size(*asked.size))
    if asked.json:
        print(json.dumps(found))
    else:
        print(f"  peak memory {found['peak_bytes'] / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
