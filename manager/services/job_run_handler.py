"""Running a job with a schedule now: the request to the planner, which starts the run."""

from manager.interfaces import NowMs
from manager.planner.spec.run_overlap import overlap_reason
from manager.records.object_lookup import find_service
from manager.services import service_revisions
from manager.store.changes import put
from manager.store.kinds import SERVICE
from manager.store.record_store import RecordStore
from shoal.api.v1.control_pb2 import RunJobRequest, RunJobResponse
from shoal.api.v1.service_pb2 import JobRun, Service
from shoal.errors import Refused
from shoal.rpc.caller import Caller


class JobRunHandler:
    """The call that runs a job now."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def run(self, request: RunJobRequest, caller: Caller) -> RunJobResponse:
        """Raises Refused for what has no schedule, and where the schedule allows no run beside an active one."""
        view = self._store.tables
        service = find_service(view, request.service)
        name, status = service.spec.name, view.service_status.get(service.meta.id)
        if not service.spec.HasField("schedule"):
            raise Refused(f'service "{name}" has no schedule; `shoal service update --force {name}` runs a job again')
        runs = status.runs if status is not None else ()
        active = [run.number for run in runs if run.state == JobRun.RUNNING]
        if active and overlap_reason(service.spec.schedule, active_run=active[-1], other_runs=len(active) - 1):
            raise Refused(f'a run of "{name}" is active, and its schedule allows no other at the same time')
        changed = Service()
        changed.CopyFrom(service)
        changed.run_requests += 1
        changed.meta.updated_at_ms = self._now_ms()
        unchanged = service_revisions.unchanged_since(service)
        await self._store.commit([put(SERVICE, service.meta.id, changed)], expects=[unchanged])
        return RunJobResponse(run_requests=changed.run_requests, previous_run=runs[-1].number if runs else 0)
