"""Deletes what is kept of containers that managers do not keep on this node any more.

This is people's data. Nothing is deleted before a manager has listed all containers of this node in a snapshot, nor
while a task of the container is assigned here or not forgotten yet. A manager that does not know containers lists none,
and then all stay. A snapshot may be of a manager that is behind another one: what it does not list is deleted only
after `SETTLE_SECONDS`, and once it has reached the newest revision of the store that this process has seen. What is
removed by name is deleted at once. What the present history of the cluster has never known is an orphan: it is reported
and stays until a user removes it (`root_verdicts.py`).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import replace

from agent.worker.container_runtime import Runtime
from agent.worker.root_origin import RootOrigin
from agent.worker.root_verdicts import KnownContainers, Verdict
from shoal.api.v1.dispatcher_pb2 import Assignments, OrphanReport
from shoal.api.v1.node_pb2 import OrphanedContainer
from shoal.api.v1.task_pb2 import Task
from shoal.errors import NotFound, ShoalError

RETRY_SECONDS = 5.0
SETTLE_SECONDS = 10.0
MAX_REPORTED = 256
"""Orphans in a report."""

_log = logging.getLogger(__name__)


class RootCollector:
    """Call `apply` with each message, and `wake` when a task was forgotten.

    Args:
        tasks: those that are assigned or not forgotten yet.
    """

    def __init__(self, runtime: Runtime, tasks: Callable[[], Iterable[Task]]) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._known: KnownContainers | None = None
        self._epoch = ""
        self._settled_at = 0.0
        self._revision = self._newest_revision = 0
        self._woken = asyncio.Event()
        self._changed = asyncio.Event()

    def apply(self, message: Assignments) -> None:
        """Follow a message."""
        if message.snapshot and message.epoch != self._epoch:  # its revisions are another count
            self._epoch, self._newest_revision = message.epoch, 0
        self._revision = message.store_revision if message.snapshot else max(self._revision, message.store_revision)
        self._newest_revision = max(self._newest_revision, self._revision)
        if message.snapshot:
            self._known = KnownContainers(message.epoch, message.store_revision) if message.lists_containers else None
            loop = asyncio.get_running_loop()
            self._settled_at = loop.time() + SETTLE_SECONDS
            loop.call_later(SETTLE_SECONDS, self.wake)
        if self._known is not None:
            # A task comes with its container; one that comes without it is of a container that was removed meanwhile.
            runs = {task.container_id for task in message.tasks if task.container_id}
            kept = set(message.containers)
            self._known.update(kept=kept, removed={*message.removed_containers, *(runs - kept - self._known.kept)})
        self.wake()

    def wake(self) -> None:
        """Look again soon."""
        self._woken.set()

    def orphans(self) -> dict[str, RootOrigin]:
        """What is kept of containers that managers do not know; none before that is certain."""
        return self._found(Verdict.ORPHAN) if self._is_settled else {}

    def surplus(self) -> frozenset[str]:
        """Containers that are to be deleted."""
        is_certain = self._is_settled and self._revision >= self._newest_revision
        absent = self._found(Verdict.ABSENT) if is_certain else {}
        return frozenset({*self._found(Verdict.DELETE), *absent})

    async def reports(self) -> AsyncGenerator[OrphanReport]:
        """What a manager is to know of orphans: once after a snapshot, then whenever it changes."""
        sent: OrphanReport | None = None
        while True:
            if self._known is not None and self._known.epoch and self._is_settled:
                report = _report(self.orphans())
                if report != sent:
                    sent = report
                    yield report
            await self._changed.wait()
            self._changed.clear()

    async def remove_orphan(self, container_id: str) -> None:
        """A user wants it deleted.

        Raises:
            NotFound: it is none. Unavailable: its files are in use, or the disk failed.
        """
        if container_id not in self.orphans():
            raise NotFound(f"nothing is kept here of a container {container_id} that managers do not know")
        _log.info("removing container %s, which managers do not know, at the request of a user", container_id)
        await self._runtime.remove_root(container_id)
        self.wake()

    async def run(self) -> None:
        """Delete them, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            for container_id, origin in self._found(Verdict.CONFIRM).items():
                assert self._known is not None
                confirmed = replace(origin, epoch=self._known.epoch, revision=self._revision)
                await self._try(container_id, "record", self._runtime.set_root_origin(container_id, confirmed))
            for container_id, origin in self._found(Verdict.DISOWN).items():
                _log.warning("container %s is not known to the managers any more: it is kept", container_id)
                disowned = replace(origin, epoch="")
                await self._try(container_id, "record", self._runtime.set_root_origin(container_id, disowned))
            for container_id in sorted(self.surplus()):
                # What is assigned may have changed meanwhile.
                if container_id in self.surplus():
                    _log.info("removing container %s: it is not kept on this node any more", container_id)
                    await self._try(container_id, "remove", self._runtime.remove_root(container_id))
            self._changed.set()

    @property
    def _is_settled(self) -> bool:
        return asyncio.get_running_loop().time() >= self._settled_at

    def _found(self, verdict: Verdict) -> dict[str, RootOrigin]:
        if self._known is None:
            return {}
        used = {task.container_id for task in self._tasks()}
        origins = self._runtime.root_origins()
        judged = {each: self._known.verdict(each, origin) for each, origin in origins.items()}
        # What is used is not touched, but may be confirmed.
        return {
            each: origins[each]
            for each, found in judged.items()
            if found is verdict and (each not in used or verdict is Verdict.CONFIRM)
        }

    async def _try(self, container_id: str, what: str, call: Awaitable[None]) -> None:
        try:
            await call
        except ShoalError as error:
            _log.warning("could not %s container %s yet: %s", what, container_id, error)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self.wake)


def _report(orphans: dict[str, RootOrigin]) -> OrphanReport:
    oldest = sorted(orphans.items(), key=lambda each: (each[1].created_at_ms, each[0]))[:MAX_REPORTED]
    found = (
        OrphanedContainer(id=each, name=origin.name, image=origin.image, created_at_ms=origin.created_at_ms)
        for each, origin in oldest
    )
    return OrphanReport(containers=found, count=len(orphans))
