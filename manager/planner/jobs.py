"""One job: its runs, the slots of each of them, and what follows for its tasks.

A slot of a run is done when one of its tasks has ended with exit code 0, and stays so. A job without a schedule has a
run for each template; its newest run stays open, so that more completions or more nodes are worked off too.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from manager.planner import drain, history, restart, runs
from manager.planner.demand import Demand, demand_of
from manager.planner.dependencies import hold_back
from manager.planner.draft import Draft
from manager.planner.filters import standing
from manager.planner.modes import completions, is_job, is_on_each_node
from manager.planner.need import Need, in_order
from manager.planner.place import Placing
from manager.planner.predecessors import held_back
from manager.planner.rolls import Key
from manager.planner.slots import Slot, age, release, slots_of
from manager.planner.template import Wanted
from shoal.api.v1.service_pb2 import JobRun, RestartPolicy, Schedule, Service, ServiceSpec, ServiceStatus
from shoal.api.v1.task_pb2 import TaskState


def plan_job(draft: Draft, service: Service) -> None:
    """All stages for one job."""
    held = hold_back(draft, service)
    if is_job(held.spec):
        _JobPass(draft, held).run()
    else:  # it waits for its dependencies, and has never run
        draft.tell(ServiceStatus(service_id=service.meta.id))


@dataclass
class _Work:
    """What the slots of one run need, gathered before anything is placed."""

    wanted: int = 0
    done: int = 0
    active: int = 0
    waiting: int = 0
    given_up: int = 0
    due: list[tuple[Slot, int]] = field(default_factory=list)
    needs: list[tuple[Key, Need]] = field(default_factory=list)


class _JobPass:
    """The state of one pass over one job."""

    def __init__(self, draft: Draft, service: Service) -> None:
        self._draft = draft
        self._id = service.meta.id
        self._spec = service.spec
        self._wanted = Wanted(draft.view, service)
        self._known = draft.view.service_status.get(self._id)
        self._runs = runs.copies(self._known)
        self._problems: set[str] = set()

    def run(self) -> None:
        slots = self._slots_by_run()
        scheduled = self._spec.HasField("schedule")
        status = ServiceStatus(service_id=self._id)
        # A run that takes the place of another one comes first: nothing is started for the other one any more.
        replaces = not scheduled or self._spec.schedule.overlap == Schedule.REPLACE
        committed = {run.number for run in self._runs}
        if replaces:
            self._begin(status, scheduled)
        for run in self._runs:
            if run.number not in committed:
                continue
            if run.state == JobRun.RUNNING or (run is self._runs[-1] and not scheduled and self._is_newest(run)):
                self._work(run, slots.pop(run.number, {}))
            else:
                self._wind_up(slots.pop(run.number, {}))
        for left in slots.values():
            for slot in left.values():
                release(self._draft, slot, "its run is forgotten")
        if not replaces:
            self._begin(status, scheduled)
        status.problems.extend(sorted(self._problems - {""})[:10])
        status.runs.extend(self._runs)
        self._draft.tell(status)

    def _begin(self, status: ServiceStatus, scheduled: bool) -> None:
        """Add the run that is to begin; the next pass makes its tasks."""
        now_ms, revision = self._draft.now_ms, self._wanted.revision
        if scheduled:
            schedule = self._spec.schedule
            known = self._known.schedule if self._known is not None and self._known.HasField("schedule") else None
            answer = runs.follow_schedule(self._runs, schedule, known, revision=revision, now_ms=now_ms)
            status.schedule.CopyFrom(answer)
            if answer.next_due_ms:
                self._draft.wake(self._id, answer.next_due_ms)
            runs.forget(self._runs, runs.history(schedule))
        elif not self._runs or not self._is_newest(self._runs[-1]):
            runs.begin(self._runs, revision=revision, due_at_ms=0, replaces=True, now_ms=now_ms)
            runs.forget(self._runs, 0)

    def _is_newest(self, run: JobRun) -> bool:
        return not self._wanted.differs_from(run.revision)

    def _slots_by_run(self) -> dict[int, dict[Key, Slot]]:
        """A slot's tasks are those of one run, though several runs have slots of the same number."""
        found: dict[int, dict[Key, Slot]] = defaultdict(dict)
        for key, slot in slots_of(self._draft, self._draft.rolls.roll(self._id)).items():
            for part in ("wanted", "stopping", "away", "ended"):
                for task in getattr(slot, part):
                    own = found[task.run].setdefault(key, Slot(key))
                    getattr(own, part).append(task)
        return found

    def _work(self, run: JobRun, slots: dict[Key, Slot]) -> None:
        spec = self._spec_of(run)
        demand = demand_of(spec, self._draft.view.networks)
        keys = self._keys(slots, demand)
        for key, slot in slots.items():
            if key not in keys:
                release(self._draft, slot, "not wanted any more")
        work = _Work(wanted=len(keys))
        for key in keys:
            self._look(work, slots.get(key) or Slot(key), spec.task.restart)
        self._start_due(work)
        self._place(run, demand, work, slots)
        for slot in slots.values():
            history.trim(self._draft, slot, spec.task.restart)
        self._note(run, work)

    def _spec_of(self, run: JobRun) -> ServiceSpec:
        if self._is_newest(run):
            return self._spec
        revision = self._draft.view.revision_of(self._id, run.revision)
        return revision.spec if revision is not None else self._spec

    def _keys(self, slots: dict[Key, Slot], demand: Demand) -> list[Key]:
        if not is_on_each_node(self._spec):
            return list(range(1, completions(self._spec) + 1))
        hosts = self._draft.ledger.hosts
        fit = {identifier for identifier, host in hosts.items() if standing(host, demand) is None}
        held = {str(key) for key, slot in slots.items() if self._is_bound(slot)}
        return [*sorted(fit | held)]

    def _is_bound(self, slot: Slot) -> bool:
        """Something of the slot runs on its node or is done there, whether the node fits any more or not."""
        return bool(slot.wanted or slot.stopping) or any(
            self._draft.state(task) == TaskState.COMPLETE for task in slot.ended
        )

    def _leave_overdue(self, slot: Slot) -> None:
        """A drain lets a job's tasks finish, as long as it has time."""
        for task in list(slot.wanted):
            if drain.is_over(self._draft, task):
                slot.wanted.remove(task)
                slot.stopping.append(task)

    def _look(self, work: _Work, slot: Slot, policy: RestartPolicy) -> None:
        self._leave_overdue(slot)
        if any(self._draft.state(task) == TaskState.COMPLETE for task in slot.ended):
            work.done += 1
            for task in (*slot.wanted, *slot.away):
                self._draft.stop(task, TaskState.SHUTDOWN, "its slot is done")
        elif slot.wanted:
            work.active += 1
            best = max(slot.wanted, key=lambda task: (self._draft.state(task), age(task)))
            for task in slot.wanted:
                if task is not best:
                    self._draft.stop(task, TaskState.SHUTDOWN, "another task has its slot")
            if not best.node_id:
                work.needs.append((slot.key, Need(best.slot, best.attempt, best)))
        elif slot.stopping:
            work.active += 1
        else:
            self._consider_start(work, slot, policy)

    def _consider_start(self, work: _Work, slot: Slot, policy: RestartPolicy) -> None:
        """The slot has no task: it is due, waits for its restart, or is given up."""
        statuses, now_ms = self._draft.view.task_status, self._draft.now_ms
        attempt = 0
        if slot.last_end() is not None:
            ends = [(task, statuses.get(task.id)) for task in slot.ended]
            verdict = restart.answer(on_failure(policy), ends, now_ms=now_ms)
            self._problems.add(verdict.problem)
            if verdict.due_ms is None:
                work.given_up += 1
                return
            if verdict.due_ms > now_ms:
                self._draft.wake(self._id, verdict.due_ms)
                work.waiting += 1
                return
            attempt = verdict.attempt
        elif slot.ended:
            newest = slot.ended[-1]
            attempt = restart.next_attempt(newest, statuses.get(newest.id))
        work.due.append((slot, attempt))

    def _start_due(self, work: _Work) -> None:
        """As many of the slots that are due as may be active beside those that are."""
        most = self._spec.replicated_job.max_concurrent or work.wanted
        for slot, attempt in work.due[: max(0, most - work.active)]:
            for task in slot.ended:
                self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")
            number = slot.key if isinstance(slot.key, int) else 0
            home = restart.home(slot.ended) if attempt else ""
            work.needs.append((slot.key, Need(number, attempt, home=home)))

    def _place(self, run: JobRun, demand: Demand, work: _Work, slots: dict[Key, Slot]) -> None:
        if not work.needs:
            return
        draft = self._draft
        spec, number = self._spec_of(run), run.number
        placing = Placing(draft, service_id=self._id, spec=spec, revision=run.revision, demand=demand, run=number)
        if is_on_each_node(self._spec):
            for key, need in work.needs:
                self._problems.add(placing.on(draft.ledger.hosts[str(key)], need, 0))
            return
        counts = Counter(task.node_id for slot in slots.values() for task in slot.wanted if task.node_id)
        held = held_back(draft, spec, demand, work.needs, slots)
        needs = in_order(need for _, need in held)
        failing = history.failing_nodes(draft, slots.values())
        failing |= {node for slot in slots.values() for node in restart.left(slot.ended)}
        self._problems.update(placing.spread(needs, counts, failing))

    def _note(self, run: JobRun, work: _Work) -> None:
        run.wanted, run.completed = work.wanted, work.done
        left = work.active + work.waiting + len(work.due)
        if left or not work.wanted:
            run.state, run.finished_at_ms = JobRun.RUNNING, 0
            if not work.wanted:
                self._problems.add("no suitable node")
        elif run.state == JobRun.RUNNING or (run.state == JobRun.FAILED) != bool(work.given_up):
            runs.finish(run, JobRun.FAILED if work.given_up else JobRun.SUCCEEDED, self._draft.now_ms)

    def _wind_up(self, slots: dict[Key, Slot]) -> None:
        """Nothing of a finished run runs; what ended is history."""
        for slot in slots.values():
            for task in (*slot.wanted, *slot.away):
                self._draft.stop(task, TaskState.SHUTDOWN, "its run has ended")
            history.trim(self._draft, slot, self._spec.task.restart)


def on_failure(policy: RestartPolicy) -> RestartPolicy:
    """A job's task that is done is never started again."""
    made = RestartPolicy()
    made.CopyFrom(policy)
    if made.condition != RestartPolicy.NONE:
        made.condition = RestartPolicy.ON_FAILURE
    return made
