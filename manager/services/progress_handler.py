"""WatchServices: streams progress until every service has converged, failed or been removed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from manager.interfaces import NowMs
from manager.planner.spec.effective_spec import effective
from manager.planner.spec.service_modes import is_job
from manager.records.object_lookup import find_service
from manager.services import task_counts
from manager.services.exhausted_restarts import stalled_reason
from manager.services.incremental_counts import IncrementalCounts
from manager.services.job_progress import job_progress
from manager.services.service_dependencies import failed_dependency
from manager.services.verification import MAX_MS, Verification, is_stable
from manager.store import kinds
from manager.store.changes import Change
from manager.store.record_store import RecordReader
from manager.store.subscription import Subscription
from manager.store.tables import View
from manager.validation import bounds
from shoal.api.v1.control_pb2 import ServiceProgress, ServicesProgress, WatchServicesRequest
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput, NotFound
from shoal.ids import is_id
from shoal.rpc.caller import Caller

INTERVAL_SECONDS = 0.05
"""Between two responses; the last one does not wait."""
CHEAP_TASKS = 2000
"""Up to this number, every change is evaluated. Beyond it, only one that may be the last, or after the interval."""

_ALWAYS = frozenset({kinds.NODE.name, kinds.NODE_STATUS.name})


class ProgressHandler:
    """Streams the progress of services to clients that wait for them.

    Args:
        store: the records.
        seconds: a clock that only goes forward (`time.monotonic`).
        now_ms: the clock of the timestamps of tasks.
    """

    def __init__(self, *, store: RecordReader, seconds: Callable[[], float], now_ms: NowMs) -> None:
        self._store = store
        self._seconds = seconds
        self._now_ms = now_ms

    async def watch(self, request: WatchServicesRequest, caller: Caller) -> AsyncGenerator[ServicesProgress, None]:
        """Yields the first progress at once, and a last one with `done`.

        Raises:
            NotFound: a service does not exist. InvalidInput: the verification time is out of range.
        """
        view = self._store.tables
        watched = _watched(view, request)
        verifications = self._verifications(view, watched, request)
        with self._store.follow() as changes:
            watcher = _Watcher(
                view=view,
                watched=watched,
                until_removed=request.until_removed,
                changes=changes,
                counts=IncrementalCounts(view),
                verifications=verifications,
                seconds=self._seconds,
                now_ms=self._now_ms,
            )
            now = watcher.snapshot()
            yield now
            while not now.done:
                sent_at = self._seconds()
                sent, now = now, await self._next(watcher, sent_at, now)
                if now != sent:
                    yield now

    def _verifications(
        self, view: View, watched: Iterable[str], request: WatchServicesRequest
    ) -> dict[str, Verification]:
        if not 0 <= request.verify_ms <= MAX_MS:
            raise InvalidInput(f"verify_ms: {request.verify_ms} is out of range; the maximum is {MAX_MS}")
        if request.until_removed or not request.verify_ms:
            return {}
        since_ms = self._now_ms() - request.verify_ms
        services = (view.services[identifier] for identifier in watched)
        return {
            service.meta.id: Verification(request.verify_ms / 1000, stable=is_stable(view, service, since_ms=since_ms))
            for service in services
            if not is_job(service.spec)
        }

    async def _next(self, watcher: "_Watcher", sent_at: float, sent: ServicesProgress) -> ServicesProgress:
        """The progress after the next changes, once it is done or the interval is over."""
        await watcher.wait_for_change()
        now = sent
        while True:
            left = sent_at + INTERVAL_SECONDS - self._seconds()
            if left <= 0 or watcher.should_evaluate():
                now = watcher.snapshot()
            if left <= 0 or now.done:
                return now
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await watcher.wait_for_change()


@dataclass(frozen=True, kw_only=True)
class _Watcher:
    """One WatchServices call.

    Attributes:
        watched: names of the services, by ID.
        verifications: by ID of the service.
    """

    view: View
    watched: Mapping[str, str]
    until_removed: bool
    changes: Subscription
    counts: IncrementalCounts
    verifications: Mapping[str, Verification]
    seconds: Callable[[], float]
    now_ms: NowMs

    def snapshot(self) -> ServicesProgress:
        """The progress of all services.

        One that is removed with all of its tasks counts as converged; one that waits for its user, as stalled.
        """
        self.counts.apply(self.changes.pending_changes())
        services = [self._progress_of(identifier, name) for identifier, name in self.watched.items()]
        done = all(service.converged or service.stalled for service in services)
        return ServicesProgress(services=services, done=done)

    def should_evaluate(self) -> bool:
        """Whether a snapshot is cheap, or may be the last."""
        return _tasks(self.view, self.watched) <= CHEAP_TASKS or all(map(self.counts.may_be_done, self.watched))

    async def wait_for_change(self) -> None:
        """Wait for a change that may affect the progress, or until a verification is due."""
        due = [at for each in self.verifications.values() if (at := each.due_at) is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(due) - self.seconds()) if due else None):
                async for batch in self.changes:
                    self.counts.apply(batch)
                    if _is_relevant(batch, self.view, self.watched):
                        return

    def _progress_of(self, identifier: str, name: str) -> ServiceProgress:
        view, count = self.view, self.counts.count
        service = view.services.get(identifier)
        if self.until_removed or service is None:
            return task_counts.removal_progress(view, identifier, name, count)
        if is_job(service.spec):
            progress, end = job_progress(view, service, count), ""
        else:
            progress = task_counts.progress(view, service, count)
            end = self._verify(service, progress)
        if not progress.converged:
            end = failed_dependency(view, service, now_ms=self.now_ms()) or end
        if end:
            progress.stalled = True
            progress.problems.insert(0, end)
        return progress

    def _verify(self, service: Service, progress: ServiceProgress) -> str:
        """Adjust the progress during verification; returns why waiting longer is pointless, else empty."""
        fresh = task_counts.current_revisions(effective(self.view, service))
        counted = self.counts.count(self.view, service.meta.id, fresh)
        if (verification := self.verifications.get(service.meta.id)) is not None:
            verification.evaluate(self.view, service, progress, counted, self.seconds())
        return stalled_reason(self.view, service, progress, counted, now_ms=self.now_ms())


def _watched(view: View, request: WatchServicesRequest) -> dict[str, str]:
    """IDs and names. A removed service is known by its ID alone."""
    if not 1 <= len(request.services) <= bounds.TARGETS_IN_CALL:
        raise InvalidInput(f"specify 1 to {bounds.TARGETS_IN_CALL} services")
    found: dict[str, str] = {}
    for reference in request.services:
        try:
            service = find_service(view, reference)
        except NotFound:
            if not request.until_removed or not is_id(reference):
                raise
            found[reference] = reference
        else:
            found[service.meta.id] = service.spec.name
    return found


def _is_relevant(batch: Iterable[Change], view: View, watched: Mapping[str, str]) -> bool:
    for change in batch:
        if isinstance(change.new or change.old, Task):
            task = change.new or change.old
            if isinstance(task, Task) and task.service_id in watched:
                return True
        elif change.kind.name == kinds.TASK_STATUS.name:
            known = view.tasks.get(change.identifier)
            if known is not None and known.service_id in watched:
                return True
        elif change.identifier in watched or change.kind.name in _ALWAYS:
            return True
    return False


def _tasks(view: View, watched: Mapping[str, str]) -> int:
    return sum(len(view.tasks_of(identifier)) for identifier in watched)
