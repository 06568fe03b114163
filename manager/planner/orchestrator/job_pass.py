"""One job: its runs, the slots of each of them, and what follows for its tasks.

A slot of a run has completed once one of its tasks has ended with exit code 0. A job without a schedule has one run for
each template; its newest run stays open, so that completions or nodes that are added later are run too.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey, age
from manager.planner.orchestrator import job_runs
from manager.planner.orchestrator.service_dependencies import apply_dependencies
from manager.planner.scheduler.node_filters import ineligible
from manager.planner.scheduler.placement_request import PlacementRequest, pending_first
from manager.planner.scheduler.placer import Placer
from manager.planner.slots import drain_deadline, preferred_nodes, task_history
from manager.planner.slots.single_writer import await_predecessors
from manager.planner.slots.slot_tasks import Slot, TaskStop, classify_dirty, remove_slot
from manager.planner.spec.problem_texts import NO_SUITABLE_NODE
from manager.planner.spec.requirements import Requirements, requirements_of
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.spec.service_modes import completions, is_global, is_job
from shoal.api.v1.service_pb2 import JobRun, RestartPolicy, Schedule, Service, ServiceSpec, ServiceStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.restarts import restart_policy


def plan_job(draft: Draft, service: Service) -> None:
    """All stages for one job."""
    allowed = apply_dependencies(draft, service)
    if is_job(allowed.spec):
        _JobPass(draft, allowed).run()
    else:  # it waits for its dependencies, and has never run
        draft.write_status(ServiceStatus(service_id=service.meta.id))


@dataclass
class _RunProgress:
    """What the slots of one run need, gathered before anything is placed."""

    total: int = 0
    completed: int = 0
    active: int = 0
    waiting: int = 0
    given_up: int = 0
    due: list[tuple[Slot, int]] = field(default_factory=list)
    requests: list[tuple[SlotKey, PlacementRequest]] = field(default_factory=list)


class _JobPass:
    """The state of one pass over one job."""

    def __init__(self, draft: Draft, service: Service) -> None:
        self._draft = draft
        self._id = service.meta.id
        self._spec = service.spec
        self._requests = service.run_requests
        self._desired = DesiredTemplate(draft.view, service)
        self._known = draft.view.service_status.get(self._id)
        self._runs = job_runs.copies(self._known)
        self._problems: set[str] = set()

    def run(self) -> None:
        slots = self._slots_by_run()
        scheduled = self._spec.HasField("schedule")
        status = ServiceStatus(service_id=self._id, handled_run_requests=self._requests)
        # A run that replaces another one is added first, so that nothing is started for the other one any more.
        replaces = not scheduled or self._spec.schedule.overlap == Schedule.REPLACE
        committed = {run.number for run in self._runs}
        if replaces:
            self._begin_run(status, scheduled)
        for run in self._runs:
            if run.number not in committed:
                continue
            if run.state == JobRun.RUNNING or (run is self._runs[-1] and not scheduled and self._is_newest(run)):
                self._plan_run(run, slots.pop(run.number, {}))
            else:
                self._stop_run(slots.pop(run.number, {}))
        for removed in slots.values():
            for slot in removed.values():
                remove_slot(self._draft, slot, "its run was removed from the history")
        if not replaces:
            self._begin_run(status, scheduled)
        status.problems.extend(sorted(self._problems - {""})[:10])
        status.runs.extend(self._runs)
        self._draft.write_status(status)

    def _begin_run(self, status: ServiceStatus, scheduled: bool) -> None:
        """Add the run that is to begin; the next pass creates its tasks."""
        now_ms, revision = self._draft.now_ms, self._desired.revision
        if scheduled:
            schedule = self._spec.schedule
            known = self._known.schedule if self._known is not None and self._known.HasField("schedule") else None
            schedule_status = job_runs.follow_schedule(self._runs, schedule, known, revision=revision, now_ms=now_ms)
            if self._requests > (self._known.handled_run_requests if self._known is not None else 0):
                skipped = job_runs.follow_request(self._runs, schedule, revision=revision, now_ms=now_ms)
                schedule_status.message = skipped or schedule_status.message
            status.schedule.CopyFrom(schedule_status)
            if schedule_status.next_run_at_ms:
                self._draft.requeue_at(self._id, schedule_status.next_run_at_ms)
            job_runs.drop_finished(self._runs, job_runs.history_limit(schedule))
        elif not self._runs or not self._is_newest(self._runs[-1]):
            job_runs.add_run(self._runs, revision=revision, due_at_ms=0, replaces=True, now_ms=now_ms)
            job_runs.drop_finished(self._runs, 0)

    def _is_newest(self, run: JobRun) -> bool:
        return not self._desired.differs_from(run.revision)

    def _slots_by_run(self) -> dict[int, dict[SlotKey, Slot]]:
        """A slot's tasks are those of one run, though several runs have slots of the same number."""
        found: dict[int, dict[SlotKey, Slot]] = defaultdict(dict)
        for key, slot in classify_dirty(self._draft, self._draft.slot_index.of_service(self._id)).items():
            for part, tasks in enumerate(slot.parts()):
                for task in tasks:
                    found[task.job_run].setdefault(key, Slot(key)).parts()[part].append(task)
        return found

    def _plan_run(self, run: JobRun, slots: dict[SlotKey, Slot]) -> None:
        spec = self._spec_of(run)
        demand = requirements_of(spec, self._draft.view.networks)
        keys = self._slot_keys(slots, demand)
        for key, slot in slots.items():
            if key not in keys:
                remove_slot(self._draft, slot, "its slot is no longer needed")
        progress = _RunProgress(total=len(keys))
        for key in keys:
            self._decide(progress, slots.get(key) or Slot(key), spec.task.restart)
        self._start_due(progress)
        self._place(run, demand, progress, slots)
        for slot in slots.values():
            task_history.trim(self._draft, slot, spec.task.restart)
        self._update_run(run, progress)

    def _spec_of(self, run: JobRun) -> ServiceSpec:
        if self._is_newest(run):
            return self._spec
        revision = self._draft.view.revision_of(self._id, run.revision)
        return revision.spec if revision is not None else self._spec

    def _slot_keys(self, slots: dict[SlotKey, Slot], demand: Requirements) -> list[SlotKey]:
        if not is_global(self._spec):
            return list(range(1, completions(self._spec) + 1))
        hosts = self._draft.resources.hosts
        fit = {identifier for identifier, host in hosts.items() if ineligible(host, demand) is None}
        bound = {str(key) for key, slot in slots.items() if self._is_bound(slot)}
        return [*sorted(fit | bound)]

    def _is_bound(self, slot: Slot) -> bool:
        """A task of the slot runs or has completed on its node, whether or not the node is still eligible."""
        return bool(slot.active or slot.stopping) or any(
            self._draft.state(task) == TaskState.COMPLETE for task in slot.ended
        )

    def _stop_overdue(self, slot: Slot) -> None:
        """A drain lets the tasks of a job finish until its deadline."""
        for task in list(slot.active):
            overdue = drain_deadline.check_deadline(self._draft, task)
            if isinstance(overdue, TaskStop):
                self._draft.stop(*overdue)
                slot.active.remove(task)
                slot.stopping.append(task)
            elif overdue is not None:
                self._draft.requeue_at(self._id, overdue)

    def _decide(self, progress: _RunProgress, slot: Slot, policy: RestartPolicy) -> None:
        self._stop_overdue(slot)
        if any(self._draft.state(task) == TaskState.COMPLETE for task in slot.ended):
            progress.completed += 1
            for task in (*slot.active, *slot.unreachable):
                self._draft.stop(task, TaskState.SHUTDOWN, "its slot has completed")
        elif slot.active:
            progress.active += 1
            best = max(slot.active, key=lambda task: (self._draft.state(task), age(task)))
            for task in slot.active:
                if task is not best:
                    self._draft.stop(task, TaskState.SHUTDOWN, "another task runs in its slot")
            if not best.node_id:
                progress.requests.append((slot.key, PlacementRequest(best.slot, best.attempt, best)))
        elif slot.stopping:
            progress.active += 1
        else:
            self._consider_start(progress, slot, policy)

    def _consider_start(self, progress: _RunProgress, slot: Slot, policy: RestartPolicy) -> None:
        """The slot has no task: one is due now, or at its restart, or never again."""
        statuses, now_ms = self._draft.view.task_status, self._draft.now_ms
        attempt = 0
        if slot.restart_candidate() is not None:
            ends = [(task, statuses.get(task.id)) for task in slot.ended]
            decision = restart_policy.decide(restart_policy.job_restart_policy(policy), ends, now_ms=now_ms)
            self._problems.add(decision.problem)
            if decision.due_ms is None:
                progress.given_up += 1
                return
            if decision.due_ms > now_ms:
                self._draft.requeue_at(self._id, decision.due_ms)
                progress.waiting += 1
                return
            attempt = decision.attempt
        elif slot.ended:
            newest = slot.ended[-1]
            attempt = restart_policy.next_attempt(newest, statuses.get(newest.id))
        progress.due.append((slot, attempt))

    def _start_due(self, progress: _RunProgress) -> None:
        """Request tasks for slots that are due, as many as `max_concurrent` leaves."""
        limit = self._spec.replicated_job.max_concurrent or progress.total
        for slot, attempt in progress.due[: max(0, limit - progress.active)]:
            for task in slot.ended:
                self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")
            number = slot.key if isinstance(slot.key, int) else 0
            preferred_node = preferred_nodes.preferred_node(slot.ended) if attempt else ""
            progress.requests.append((slot.key, PlacementRequest(number, attempt, preferred_node=preferred_node)))

    def _place(self, run: JobRun, demand: Requirements, progress: _RunProgress, slots: dict[SlotKey, Slot]) -> None:
        if not progress.requests:
            return
        draft = self._draft
        spec, number = self._spec_of(run), run.number
        placer = Placer(draft, service_id=self._id, spec=spec, revision=run.revision, demand=demand, run=number)
        requested = task_history.with_restarts(draft, progress.requests, slots, spec.task.restart, lambda _: True)
        if is_global(self._spec):
            for key, request in requested:
                self._problems.add(placer.place_on(draft.resources.hosts[str(key)], request, 0))
            return
        counts = Counter(task.node_id for slot in slots.values() for task in slot.active if task.node_id)
        due = await_predecessors(draft, spec, demand, requested, slots)
        requests = pending_first(request for _, request in due)
        failing = task_history.failing_nodes(draft, slots.values())
        failing |= {node for slot in slots.values() for node in preferred_nodes.avoided_nodes(slot.ended)}
        self._problems.update(placer.place_all(requests, counts, failing))

    def _update_run(self, run: JobRun, progress: _RunProgress) -> None:
        run.desired, run.completed = progress.total, progress.completed
        left = progress.active + progress.waiting + len(progress.due)
        if left or not progress.total:
            run.state, run.finished_at_ms = JobRun.RUNNING, 0
            if not progress.total:
                self._problems.add(NO_SUITABLE_NODE)
        elif run.state == JobRun.RUNNING or (run.state == JobRun.FAILED) != bool(progress.given_up):
            job_runs.finish(run, JobRun.FAILED if progress.given_up else JobRun.SUCCEEDED, self._draft.now_ms)

    def _stop_run(self, slots: dict[SlotKey, Slot]) -> None:
        """Stop what still runs of a finished run; ended tasks are history."""
        for slot in slots.values():
            for task in (*slot.active, *slot.unreachable):
                self._draft.stop(task, TaskState.SHUTDOWN, "its run has ended")
            task_history.trim(self._draft, slot, self._spec.task.restart)
