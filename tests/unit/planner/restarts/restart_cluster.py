"""Two managers on one etcd, one host, one service of one task: and what must be true whatever becomes of them."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from google.protobuf.message import Message

from agent.session.backoff import MIN_MAX_DELAY_SECONDS
from manager.store import kinds
from manager.store.changes import Change, put
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import Replicated, RestartPolicy, Service, ServiceRevision, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import is_terminal, observed_state, should_run
from tests.unit.planner.restarts.restart_host import IMAGE, Host
from tests.unit.planner.restarts.restart_manager import NODE, Etcd, Manager
from tests.unit.planner.restarts.restart_stream import Stream, StreamServer

NAMES = ("m1", "m2")
SERVICE = "web"
REACHED: Counter[str] = Counter()
"""How often what the checks are about has come about, in the whole process."""


class Cluster:
    """Everything but the tests' rules. Its methods run in a loop with virtual time.

    Attributes:
        managers: by name; None: killed.
        accepted: set when a stream is.
    """

    def __init__(self, directory: Path, policy: RestartPolicy) -> None:
        self.policy = policy
        self.etcd = Etcd()
        self.managers: dict[str, Manager | None] = dict.fromkeys(NAMES)
        self.leader: Manager | None = None
        self.streams: list[Stream] = []
        self.accepted = asyncio.Event()
        servers: dict[str, StreamServer] = {name: _Address(self, name) for name in NAMES}
        self.host = Host(directory, servers, self._check_start)
        self.tasks: dict[str, Task] = {}
        """Each that there was, as it was last."""
        self.stored: dict[str, TaskStatus] = {}
        self._observer: asyncio.Task[None] | None = None
        self._numbers = count(1)
        self._revision = 0

    async def begin(self) -> None:
        """The service's task runs."""
        self._witness = Manager("witness", self.etcd, clock=self.host.now_ms, new_id=self._new_id)
        await self._witness.start()
        self._observer = asyncio.create_task(self._observe())
        await asyncio.sleep(0)
        status = NodeStatus(node_id=NODE, state=NodeStatus.READY, description=NodeDescription(hostname=NODE))
        node = Node(meta=Meta(id=NODE))
        await self._witness.store.commit([put(kinds.NODE, NODE, node), put(kinds.NODE_STATUS, NODE, status)])
        await self._deploy()
        for name in NAMES:
            await self.start_manager(name)
        await self.elect()
        await self.host.start()
        await self.until_running()

    async def close(self) -> None:
        """End everything, as it is."""
        if self.host.is_up:
            await self.host.kill()
        for manager in (*self.managers.values(), self._witness):
            if manager is not None:
                await manager.kill()
        if self._observer is not None:
            self._observer.cancel()
            await asyncio.gather(self._observer, return_exceptions=True)

    def check(self) -> None:
        """Nothing has ended by an error of its own, and at most one container runs."""
        self.host.check()
        for manager in (*self.managers.values(), self._witness):
            if manager is not None:
                manager.check()
        if self._observer is not None and self._observer.done():
            self._observer.result()
        assert len(self.host.running()) <= 1

    # What becomes of managers, and of connections.

    async def start_manager(self, name: str) -> None:
        manager = Manager(name, self.etcd, clock=self.host.now_ms, new_id=self._new_id)
        await manager.start()
        self.managers[name] = manager

    async def kill_manager(self, name: str) -> None:
        manager, self.managers[name] = self.managers[name], None
        assert manager is not None
        if self.leader is manager:
            self.leader = None
        await manager.kill()

    async def make_late_writes(self, name: str) -> None:
        """Etcd makes what it has received of a manager, and has not made yet."""
        if (manager := self.managers[name]) is not None and manager.backend.held:
            REACHED["late writes of statuses"] += 1
            await manager.backend.deliver()

    async def elect(self) -> None:
        """One of the managers leads and plans, where none does."""
        up = [manager for manager in self.managers.values() if manager is not None]
        if self.leader is None and up:
            self.leader = up[0]
            await self.leader.lead()

    async def calm(self) -> None:
        """All is well from now on; what is to follow the last end has followed it."""
        self.etcd.regain_majority()
        for name, manager in self.managers.items():
            if manager is None:
                await self.start_manager(name)
            else:
                await self.make_late_writes(name)
        for stream in self.streams:
            stream.resume()
        self.host.unreachable.clear()
        await self.elect()
        if not self.host.is_up:
            await self.host.start()
        for _ in range(30):
            await asyncio.sleep(2 * MIN_MAX_DELAY_SECONDS)
            self.check()
            if self._has_come_to_rest():
                break
            if (due_ms := self._due_ms()) is not None:
                await asyncio.sleep(max(0, due_ms - self.host.now_ms()) / 1000)
        self._check_rest()

    async def renew(self) -> None:
        """All is well; a service that is given up gets another template, which begins anew."""
        await self.calm()
        if not self._runs():
            await self._deploy()
            await self.until_running()
            await asyncio.sleep(30)  # the update is completed

    async def _deploy(self) -> None:
        self._revision += 1
        number = self._revision
        spec = ServiceSpec(name=SERVICE, replicated=Replicated(replicas=1))
        spec.task.restart.CopyFrom(self.policy)
        spec.task.container.image = IMAGE
        spec.task.container.hostname = f"template-{number}"
        service = Service(meta=Meta(id=SERVICE), spec=spec, revision=number, task_revision=number)
        revision = ServiceRevision(service_id=SERVICE, number=number, spec=spec)
        writes = [put(kinds.SERVICE, SERVICE, service), put(kinds.REVISION, f"{SERVICE}/{number}", revision)]
        await self._witness.store.commit(writes)

    async def until_running(self) -> None:
        async with asyncio.timeout(60):
            while not self._runs():  # noqa: ASYNC110  # the clock is virtual
                await asyncio.sleep(0.05)

    def _new_id(self) -> str:
        return f"t{next(self._numbers):05d}"

    # What is known of tasks.

    async def _observe(self) -> None:
        with self._witness.store.follow() as changes:
            async for batch in changes:
                for change in batch:
                    self._record(change)

    def _record(self, change: Change) -> None:
        new: Message | None = change.new
        if isinstance(new, Task):
            if new.id not in self.tasks:
                self._check_new_task(new)
            self.tasks[new.id] = new
        elif isinstance(new, TaskStatus):
            before = self.stored.get(new.task_id)
            self.stored[new.task_id] = new
            if is_terminal(new.state) and (before is None or not is_terminal(before.state)):
                self._check_stored_end(new)

    def _state(self, task: Task) -> int:
        return observed_state(task, self.stored.get(task.id))

    def _newest(self) -> Task | None:
        return max(self.tasks.values(), key=lambda task: (task.created_at_ms, task.id), default=None)

    def _stored_of_newest(self) -> TaskStatus | None:
        newest = self._newest()
        return self.stored.get(newest.id) if newest is not None else None

    def restarts_ms(self) -> list[int]:
        """When restarts of the newest template were decided on, by planner and node."""
        tasks = [task for task in self.tasks.values() if task.revision == self._revision]
        by_planner = [task.created_at_ms for task in tasks if task.attempt]
        return sorted([*by_planner, *(at_ms for task in tasks for at_ms in self.host.log.decided_ms[task.id])])

    # Checks at the moment.

    def _check_start(self, task_id: str) -> None:
        """No other container runs, and no manager knows an end of the task."""
        assert not self.host.running(), f"{task_id} is started beside {self.host.running()}"
        stored = self._witness.store.tables.task_status.get(task_id)
        assert stored is None or not is_terminal(stored.state), f"{task_id} is started after its end"
        if self.host.log.starts[task_id]:
            REACHED["restarts by the node"] += 1

    def _check_stored_end(self, status: TaskStatus) -> None:
        """It is that of the newest run."""
        assert status.task_id not in self.host.running(), "it has ended, and runs"
        runs = len(self.host.log.starts[status.task_id])
        if status.HasField("exit_code"):
            assert status.restarts.count == runs - 1, f"the end of run {status.restarts.count + 1} of {runs}"
        REACHED["ends that managers know"] += 1
        REACHED["ends after a restart by the node"] += status.restarts.count > 0

    def _check_new_task(self, task: Task) -> None:
        """Its slot has no other one to run."""
        others = [each.id for each in self.tasks.values() if should_run(each) and not is_terminal(self._state(each))]
        assert not others, f"{task.id} is created beside {others}"
        REACHED["restarts by the planner"] += task.attempt > 0

    # Checks at rest.

    def _runs(self) -> bool:
        newest, running = self._newest(), self.host.running()
        if newest is None or running != [newest.id]:
            return False
        stored = self.stored.get(newest.id)
        return stored is not None and stored.state == TaskState.RUNNING and not stored.restarts.starting

    def _has_given_up(self) -> bool:
        newest = self._newest()
        return newest is not None and is_terminal(self._state(newest)) and self._due_ms() is None

    def _due_ms(self) -> int | None:
        """When the slot may get its next task at the latest, by the longest delay; None: never."""
        stored = self._stored_of_newest()
        if stored is None or not is_terminal(stored.state) or not self._policy_allows(stored):
            return None
        return stored.at_ms + 370_000

    def _policy_allows(self, end: TaskStatus) -> bool:
        condition = self.policy.condition
        if condition == RestartPolicy.NONE:
            return False
        if condition == RestartPolicy.ON_FAILURE and end.state == TaskState.COMPLETE:
            return False
        return not self.policy.max_attempts or self._counted(self.restarts_ms(), end.at_ms) < self.policy.max_attempts

    def _counted(self, earlier: Sequence[int], at_ms: int) -> int:
        since = at_ms - self.policy.window_ms if self.policy.window_ms else 0
        return sum(each >= since for each in earlier)

    def _has_come_to_rest(self) -> bool:
        return self._runs() or self._has_given_up()

    def _check_rest(self) -> None:
        """What is wanted runs, once, or the policy ends it; and it has allowed each restart."""
        assert self._has_come_to_rest(), (
            f"nothing follows:\n{self._newest()}{self._stored_of_newest()}running: {self.host.running()}"
        )
        REACHED["services that run"] += self._runs()
        REACHED["services that are given up"] += not self._runs()
        restarts = self.restarts_ms()
        for number, at_ms in enumerate(restarts):
            counted = self._counted(restarts[:number], at_ms)
            assert not self.policy.max_attempts or counted < self.policy.max_attempts, f"{counted} before {at_ms}"
        for task_id, starts in self.host.log.starts.items():
            stored = self.stored[task_id]
            assert stored.restarts.count == len(starts) - 1, f"{task_id} was started {len(starts)} times"


class _Address:
    """Where a manager may listen."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name = cluster, name

    @property
    def is_reachable(self) -> bool:
        manager = self._cluster.managers[self._name]
        return manager is not None and manager.is_reachable

    def accept(self, stream: Stream) -> None:
        manager = self._cluster.managers[self._name]
        assert manager is not None
        self._cluster.streams.append(stream)
        self._cluster.accepted.set()
        manager.accept(stream)
