"""The end of a task's run, from when it was seen until it is decided who says what follows: managers, or this node.

It is held first. While a manager is in reach it is offered: sent as the task's final status. Once a manager has stored
that, the planner decides, and it alone. An end that was offered may have been stored as long as no manager has said
otherwise, also when the session has ended since: then this node leaves it alone. One that was never offered, or that
the manager has dropped for certain, is known to nobody else: when no manager has been in reach for a while, this node
restarts the task, and reports that in place of the end. So exactly one of the two follows an end.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress

from agent.worker.reported_status import ReportedStatus
from agent.worker.restarts.next_run import NextRun, next_run
from agent.worker.shared.runner_dependencies import RunnerDependencies
from agent.worker.task_step import End, EndFacts, TaskAction
from shoal import task_states
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.fault_points.injection import fault
from shoal.metrics.instruments import Counter
from shoal.restarts.runs import restarted

_RESTARTS = Counter("shoal_agent_restarts", "Tasks that this node has restarted while no manager was reachable.")
_log = logging.getLogger(__name__)


JOINED_POLL_SECONDS = 1.0
"""Between looks at a task whose namespaces this one shares, and which does not run."""


class RunEnd:
    """Of one run of a task. Every change is in the journal before anybody else learns of it.

    Args:
        entry: what the journal has of the task; None: nothing.
    Attributes:
        is_restarted: the task is restarted, which is another run.
    """

    def __init__(self, deps: RunnerDependencies, reported: ReportedStatus, entry: JournalEntry | None) -> None:
        self._deps = deps
        self._reported = reported
        self._end = entry.end if entry is not None and entry.HasField("end") else None
        self._is_offered = self._was_offered_before = entry is not None and entry.end_offered
        self._is_held_by_user = entry is not None and entry.held
        self.is_restarted = False

    @property
    def newest_report(self) -> TaskStatus:
        """What a manager is to be told that may have missed it. Do not modify it."""
        return self._end if self._end is not None and self._is_offered else self._reported.current

    def facts(self, task: Task, revision: ServiceRevision | None) -> EndFacts:
        """What the next step of the task depends on."""
        following = self._following(task, revision)
        return EndFacts(
            end=self._state,
            restarting=self._reported.current.restarts.starting,
            may_restart=following is not None,
            restart_due=following is not None and not self._seconds_to(task, following),
            in_contact=self._deps.contact.is_connected,
        )

    async def wait(self, task: Task, revision: ServiceRevision | None, wake: asyncio.Event) -> None:
        """Wait for the event; no longer than until this node may begin another run, where no manager comes back."""
        following = self._following(task, revision) if self._state is End.HELD else None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds_to(task, following) if following is not None else None):
                await wake.wait()

    def add_to(self, entry: JournalEntry) -> None:
        """Complete a journal entry."""
        entry.held = self._is_held_by_user
        if self._end is not None:
            entry.end.CopyFrom(self._end)
            entry.end_offered = self._is_offered

    def hold_by_user(self, task: Task) -> None:
        """Its user has sent the task a signal: a container's restart policy leaves it then."""
        self._is_held_by_user = bool(task.container_id)
        self._reported.write_journal()

    def begin(self, task: Task, revision: ServiceRevision | None, end: TaskStatus, *, may_restart: bool) -> None:
        """Its run has ended: hold that if another run may follow, else report it."""
        self._end, self._is_offered = end, False
        if may_restart and self._following(task, revision) is not None:
            self._reported.write_journal()
            fault("agent.restart.held")
        else:
            self._confirm()

    def act(self, action: TaskAction, task: Task, revision: ServiceRevision | None) -> None:
        """Take one of the steps of this end."""
        match action:
            case TaskAction.OFFER_END:
                self._offer()
            case TaskAction.CONFIRM_END:
                self._confirm()
            case TaskAction.RESTART:
                self._restart(task, revision)

    def _offer(self) -> None:
        assert self._end is not None
        self._is_offered = True
        self._reported.write_journal()
        fault("agent.restart.offered")
        self._reported.report(self._end)

    def stored(self, status: TaskStatus) -> None:
        """A manager has stored a status of the task, or has a later one."""
        if self._state is End.OFFERED and task_states.is_terminal(status.state):
            self._confirm()

    def not_stored(self) -> None:
        """No manager has stored what this process has offered, nor will one. What an earlier one has may be stored."""
        if self._state is End.OFFERED and not self._was_offered_before:
            self._is_offered = False
            self._reported.write_journal()
            fault("agent.restart.withdrawn")

    def _confirm(self) -> None:
        """The end is the task's own: no run follows here."""
        if self._end is not None:
            end, self._end = self._end, None
            self._reported.set(end)

    def _restart(self, task: Task, revision: ServiceRevision | None) -> None:
        """Another run follows, which is due."""
        end, following = self._end, self._following(task, revision)
        assert end is not None and following is not None
        before, now_ms = self._reported.current, self._deps.now_ms()
        new = restarted(before, end, attempt=following.attempt, delay_ms=following.delay_ms, now_ms=now_ms)
        self._end, self.is_restarted = None, True
        self._reported.replace(new)
        _RESTARTS.add()
        why = end.message or f"exit code {end.exit_code}"
        _log.warning("task %s ended while no manager was reachable: %s; restarting it", task.id, why)
        for each in self._deps.sharing.sharers(task):
            each.network_restarted()

    @property
    def _state(self) -> End:
        if self._end is None:
            return End.NONE
        return End.OFFERED if self._is_offered else End.HELD

    def _following(self, task: Task, revision: ServiceRevision | None) -> NextRun | None:
        if self._end is None:
            return None
        return next_run(task, revision, self._end, held=self._is_held_by_user, now_ms=self._deps.now_ms())

    def _seconds_to(self, task: Task, following: NextRun) -> float:
        left = max((following.due_ms - self._deps.now_ms()) / 1000, self._deps.contact.grace_left_seconds, 0.0)
        if not left and not all(map(self._deps.sharing.is_running, _joined(task))):
            return JOINED_POLL_SECONDS
        return left


def _joined(task: Task) -> Iterator[str]:
    """Ids of the tasks whose namespaces it shares."""
    yield from filter(None, (task.network_task_id, task.pid_task_id, task.ipc_task_id))
