"""One run: the cluster, what it works at, the faults, the checks, the report."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.contexts.context_store import ContextStore
from tests.chaos import final_checks
from tests.chaos.checks.epochs import (
    as_if_never_made,
    check_epochs,
    check_versions,
    restored,
    undone_writes,
)
from tests.chaos.checks.instants import check_instants
from tests.chaos.checks.key_history import ROOT, STATUSES, TASKS, check_history
from tests.chaos.checks.memory import check_memory, memory_growth
from tests.chaos.checks.replacements import check_replacements
from tests.chaos.checks.running import check_running
from tests.chaos.checks.traffic import (
    check_traffic,
    check_write_gaps,
    longest_gaps,
    longest_write_gaps,
    lost_by_kind,
    reasons,
    summarize,
    summarize_writes,
)
from tests.chaos.checks.writes import check_writes
from tests.chaos.cluster.chaos_cluster import ChaosCluster, Ended
from tests.chaos.cluster.container_sampler import ContainerSampler
from tests.chaos.cluster.etcd_reader import NoMember
from tests.chaos.cluster.manager_view import await_managers
from tests.chaos.cluster.memory_sampler import MemorySampler
from tests.chaos.cluster.record_epochs import RecordEpochs
from tests.chaos.cluster.services import BY_NAME, MESH_PORT, create_all, push_images
from tests.chaos.cluster.watch_recorder import WatchRecorder
from tests.chaos.fault_kinds import MANAGERS
from tests.chaos.fault_runner import FaultRunner
from tests.chaos.history import INFO, History
from tests.chaos.report import ChaosReport, report_text
from tests.chaos.schedule import ChaosSchedule, write_schedule
from tests.chaos.violation import Violation, with_faults
from tests.chaos.workload.hostile_agent import HostileAgent
from tests.chaos.workload.requests import RequestClient, by_mesh, by_name
from tests.chaos.workload.writer import WRITER, Writer
from tests.integration.cluster.harness import Cluster

CONVERGENCE_SECONDS = 60.0
"""After the last fault, on an idle machine."""

_NAME_SERVER = "169.254.1.1"
_HISTORY_FILES = ("schedule.jsonl", "history.jsonl", "records.jsonl", "memory.jsonl", "report.md")
TRAFFIC_RECOVERY_SECONDS = 15.0
"""Lost requests are a fault's for so long after it: a lost host's tasks run elsewhere after 8 s, and clients connect
anew."""

GAPS = 5
"""Of clients, and of the writer, in the report."""
REASONS = 10


@dataclass(frozen=True)
class ChaosOptions:
    """Of a run.

    Attributes:
        output: directory of its files.
        images: with the example images' archives.
        slowness: by which the time to converge is multiplied, on a busy machine.
        keep: leave the cluster running.
    """

    schedule: ChaosSchedule
    output: Path
    images: Path
    slowness: float = 1.0
    keep: bool = False


def run_chaos(options: ChaosOptions) -> ChaosReport:
    """Run a schedule; all files of it are in `options.output` afterwards."""
    options.output.mkdir(parents=True, exist_ok=True)
    for name in _HISTORY_FILES:
        (options.output / name).unlink(missing_ok=True)
    write_schedule(options.schedule, options.output / "schedule.jsonl")
    contexts = ContextStore(options.output / "contexts")
    layout = Layout(name=f"c{os.getpid() % 10_000_000}", hosts=5, managers=len(MANAGERS))
    playground = Playground(layout, contexts=contexts, any_subnet=True, ready_seconds=180.0)
    playground.up()
    history = History(options.output / "history.jsonl")
    try:
        run = _Run(options, playground, contexts, history)
        report = run.carry_out()
        (options.output / "report.md").write_text(report_text(report))
        return report
    finally:
        shutil.copytree(playground.layout.state / "logs", options.output / "logs", dirs_exist_ok=True)
        history.close()
        if not options.keep:
            playground.down()


class _Run:
    def __init__(self, options: ChaosOptions, playground: Playground, contexts: ContextStore, history: History) -> None:
        self._options = options
        self._history = history
        self._violations: list[Violation] = []
        context = contexts.get(playground.layout.name)
        self._cluster = ChaosCluster(playground, context, self._note_end)
        self._commands = Cluster(playground, contexts.directory)
        self._client_pid = 0
        self._sampler = ContainerSampler(playground.layout.all_hosts())
        self._clients = self._request_clients()
        self._memory = MemorySampler(self._cluster, options.output / "memory.jsonl")

    def _note_end(self, ended: Ended) -> None:
        self._history.add("cluster", INFO, "ended", ended.name, f"code {ended.code}: {ended.log}")
        text = f"{ended.name} ended by itself with code {ended.code}: {ended.log[:300]}"
        self._violations.append(Violation(8, text, time.time()))

    def carry_out(self) -> ChaosReport:
        cluster, options = self._cluster, self._options
        push_images(self._commands, options.images)
        recorder = WatchRecorder(cluster.etcd, MANAGERS, start=1, copy=options.output / "records.jsonl")
        recorder.start()
        create_all(self._commands)
        for name in MANAGERS:  # one after the other: each has a file of faults from now on
            cluster.restart(name)
            await_managers(cluster)
        evil = self._hostile_agent()
        writer = Writer(cluster.context, self._history, options.schedule.seed)
        runner = FaultRunner(cluster, self._history, evil, RecordEpochs(cluster.etcd, writer, recorder))
        seconds, left = final_checks.await_convergence(cluster, CONVERGENCE_SECONDS * options.slowness)
        if seconds is None:
            raise TimeoutError(f"the cluster did not converge before the first fault: {'; '.join(left)}")
        with self._working(writer):
            time.sleep(10.0)
            runner.run(options.schedule)
        return self._judge(runner, recorder)

    @contextmanager
    def _working(self, writer: Writer) -> Iterator[None]:
        """Writer, clients and the watch over processes, for as long as the block."""
        stopping = threading.Event()

        def mind() -> None:
            while not stopping.wait(0.5):
                self._cluster.check_processes()

        thread = threading.Thread(target=mind)
        with ExitStack() as stack:
            thread.start()
            stack.callback(thread.join)
            stack.callback(stopping.set)
            for client in self._clients:
                client.start()
                stack.callback(client.stop)
            for sampler in (self._sampler, self._memory):
                sampler.start()
                stack.callback(sampler.stop)
            writer.start()
            stack.callback(writer.stop)
            yield

    def _hostile_agent(self) -> HostileAgent:
        layout, cluster = self._cluster.layout, self._cluster
        token = (layout.state / "token").read_text().strip()
        return HostileAgent(layout.join, token, [cluster.api(name) for name in MANAGERS], "h1")

    def _request_clients(self) -> list[RequestClient]:
        hosts = [f"{host.address}:{MESH_PORT}" for host in self._cluster.layout.all_hosts()]
        return [
            RequestClient("mesh", lambda: by_mesh(hosts)),
            RequestClient("name", self._command_by_name),
        ]

    def _command_by_name(self) -> Sequence[str]:
        if not Path(f"/proc/{self._client_pid}").exists():
            self._client_pid = self._client_container()
        return by_name(self._client_pid, BY_NAME, _NAME_SERVER, 80) if self._client_pid else ()

    def _client_container(self) -> int:
        """Process id of the container `own-2`, which is on the network of the service that is asked by name; 0: it does
        not run, or etcd does not answer.
        """
        try:
            records = final_checks.values(self._cluster.etcd.records()[1])
        except NoMember:
            return 0
        own = {
            each.meta.id
            for each in (Container.FromString(v) for k, v in records.items() if k.startswith(f"{ROOT}containers/"))
            if each.name == "own-2"
        }
        for key, value in records.items():
            if key.startswith(TASKS) and (task := Task.FromString(value)).container_id in own:
                status = TaskStatus.FromString(records.get(STATUSES + task.id, b""))
                if status.state == TaskState.RUNNING and Path(f"/proc/{status.pid}").exists():
                    return status.pid
        return 0

    def _judge(self, runner: FaultRunner, recorder: WatchRecorder) -> ChaosReport:
        cluster, faults = self._cluster, runner.injected
        cluster.check_processes()
        seconds, left = final_checks.await_convergence(cluster, CONVERGENCE_SECONDS * self._options.slowness)
        revision, stored = cluster.etcd.records()
        recorder.stop(revision)
        events = [each for each in recorder.events if each.revision <= revision]
        epochs = [*(each.events for each in recorder.former), events]
        records = final_checks.values(stored)
        operations = self._history.operations
        made = as_if_never_made(operations, undone_writes(recorder.former))
        reports = {client.name: client.reports for client in self._clients}
        memory = memory_growth(self._memory.samples)
        found = self._violations
        found += (Violation(5, f"not converged: {each}") for each in left)
        checks: Sequence[Callable[[], Iterator[Violation]]] = (
            lambda: check_writes(made, records),
            lambda: check_epochs(recorder.former, events),
            lambda: check_versions(recorder.former, events),
            *(partial(check_history, each, restored(each)) for each in epochs),
            *(partial(check_instants, each) for each in epochs),
            lambda: check_running(self._sampler.samples, chain(*epochs)),
            *(partial(check_replacements, each, [*faults, *cluster.excuses]) for each in epochs),
            lambda: final_checks.check_managers(cluster),
            lambda: final_checks.check_hosts(cluster),
            lambda: check_traffic(reports, faults, aftermath=TRAFFIC_RECOVERY_SECONDS),
            lambda: check_write_gaps(operations, WRITER, faults),
            lambda: check_memory(memory, 3600 * sum(map(len, epochs)) / (time.time() - operations[0].at)),
            lambda: final_checks.check_logs(cluster, faults),
        )
        for check in checks:  # epochs have their begin in common, perhaps, and what was found there
            found += (each for each in check() if each not in found)
        return ChaosReport(
            seed=self._options.schedule.seed,
            minutes=self._options.schedule.minutes,
            faults=faults,
            violations=with_faults(found, faults),
            traffic=summarize(reports, faults, aftermath=TRAFFIC_RECOVERY_SECONDS),
            writes=summarize_writes(operations, WRITER),
            convergence_seconds=seconds,
            events=sum(map(len, epochs)),
            history_gaps=recorder.gaps,
            errors=runner.errors,
            begun=operations[0].at,
            ended=time.time(),
            lost=lost_by_kind(reports, faults, aftermath=TRAFFIC_RECOVERY_SECONDS),
            reasons=reasons(reports, REASONS),
            gaps=[*longest_gaps(reports, GAPS), *longest_write_gaps(operations, WRITER, GAPS)],
            memory=memory,
            reached=cluster.reached_points,
            notes=cluster.notes,
        )
