"""Volumes of drivers on this node: brought and taken away as managers say, given to containers once they are there."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

from agent.news import News
from agent.volumes.attachment_step import Facts, Step, next_step, report, usable
from agent.worker.faults import line_of
from agent.worker.seams import Report, VolumeSource
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.dispatcher_pb2 import Assignments, VolumeAttachment
from shoal.api.v1.volume_pb2 import HeldPublication
from shoal.task_group import TaskGroup

FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 30.0
"""After a failure, doubling."""

USERS_SECONDS = 0.1
"""Between looks whether containers have it still."""

_log = logging.getLogger(__name__)


class Mounts(Protocol):
    """`agent.volumes.driver_mounts.DriverMounts` is one."""

    def records(self) -> Iterator[VolumeAttachment]: ...

    def target(self, volume_id: str) -> Path: ...

    async def mount(self, wanted: VolumeAttachment) -> None: ...

    async def release(self, record: VolumeAttachment) -> None: ...


class Secrets(Protocol):
    """`agent.files.contents.FileContents` is one."""

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Contents that have not come yet, by `FileContent.key`."""
        ...


class Attachments:
    """Use it from the event loop; `run` must run for anything to happen.

    Args:
        secrets: told of each message before this is.
        news: rung when there is something else to tell.
    """

    def __init__(self, mounts: Mounts, secrets: Secrets, news: News) -> None:
        self._mounts = mounts
        self._secrets = secrets
        self._news = news
        self._assigned: dict[str, VolumeAttachment] = {}
        self._settled = False
        self._records = {record.volume_id: record for record in mounts.records()}
        self._mounted: set[str] = set()
        self._problems: dict[str, str] = {}
        self._tended: set[str] = set()
        self._wake = asyncio.Event()
        self._held: Callable[[], Collection[str]] = frozenset

    def take(self, news: Assignments) -> None:
        """What managers say."""
        if news.snapshot:
            self._assigned.clear()
            self._settled = True
        for volume_id in news.removed_attachments:
            self._assigned.pop(volume_id, None)
        self._assigned.update({each.volume_id: each for each in news.attachments})
        if news.snapshot or news.attachments or news.removed_attachments or (news.files and self._assigned):
            self._tell()

    def held(self) -> list[HeldPublication]:
        """What managers are told, by id."""
        told = (report(self._facts(each), each, self._problems.get(each, "")) for each in sorted(self._known()))
        return [each for each in told if each is not None]

    def is_usable(self, volume_id: str) -> bool:
        """Whether a container can be given it now."""
        return usable(self._facts(volume_id))

    async def ready(self, mount: Mount, tell: Report) -> VolumeSource:
        """The volume of a mount, once it is there; why it is not is told."""
        volume_id, told = mount.source, ""
        async with aclosing(self._news.rounds()) as rounds:
            async for _ in rounds:
                if self.is_usable(volume_id):
                    break
                if told != (why := self._why(mount)):
                    tell(told := why)
        # Nothing of the image is put into it: it may be another node's in a moment, half filled.
        return VolumeSource(
            data=self._mounts.target(volume_id), options={}, subpath=mount.volume.subpath, copy_up=False
        )

    async def run(self, held: Callable[[], Collection[str]]) -> None:
        """Until cancelled; what is mounted stays.

        Args:
            held: ids of the volumes that containers have now.
        """
        self._held = held
        async with TaskGroup() as group:
            while True:
                for volume_id in self._known() - self._tended:
                    if next_step(self._facts(volume_id)) is not Step.REST:
                        self._tended.add(volume_id)
                        group.create_task(self._tend(volume_id), name=f"volume {volume_id}")
                await self._wake.wait()
                self._wake.clear()

    async def _tend(self, volume_id: str) -> None:
        """One volume, until there is nothing to do for it."""
        pause = FIRST_PAUSE_SECONDS
        try:
            while (step := next_step(self._facts(volume_id))) is not Step.REST:
                if step is Step.AWAIT_USERS:
                    await asyncio.sleep(USERS_SECONDS)
                elif await self._try(step, volume_id):
                    pause = FIRST_PAUSE_SECONDS
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LAST_PAUSE_SECONDS)
        finally:
            self._tended.discard(volume_id)
            self._wake.set()

    async def _try(self, step: Step, volume_id: str) -> bool:
        problem = ""
        try:
            await (self._mount(volume_id) if step is Step.MOUNT else self._release(volume_id))
        except Exception as error:
            problem = line_of(f"volume {volume_id}", error)
            _log.warning("volume %s cannot be %s yet: %s", volume_id, _DOING[step], problem)
        self._problems[volume_id] = problem
        self._tell()
        return not problem

    async def _mount(self, volume_id: str) -> None:
        wanted = self._assigned[volume_id]
        self._records[volume_id] = wanted
        await self._mounts.mount(wanted)
        self._mounted.add(volume_id)

    async def _release(self, volume_id: str) -> None:
        self._mounted.discard(volume_id)
        await self._mounts.release(self._records[volume_id])
        del self._records[volume_id]

    def _facts(self, volume_id: str) -> Facts:
        return Facts(
            assigned=self._assigned.get(volume_id),
            settled=self._settled,
            record=self._records.get(volume_id),
            mounted=volume_id in self._mounted,
            in_use=volume_id in self._held(),
            equipped=not self._missing(volume_id),
        )

    def _why(self, mount: Mount) -> str:
        assigned = self._assigned.get(mount.source)
        why = self._problems.get(mount.source) or (assigned.problem if assigned is not None else "")
        if missing := self._missing(mount.source):
            why = why or f"waiting for {', '.join(missing)}"
        return f"volume {mount.volume.name}: {why}" if why else f"waiting for volume {mount.volume.name}"

    def _missing(self, volume_id: str) -> list[str]:
        """What its driver is to be given and has not come yet, for the user."""
        assigned = self._assigned.get(volume_id)
        named = {each.content: f"secret {each.name}" for each in assigned.secrets} if assigned is not None else {}
        return sorted(named[key] for key in self._secrets.missing(named))

    def _known(self) -> set[str]:
        return self._assigned.keys() | self._records.keys()

    def _tell(self) -> None:
        for volume_id in self._problems.keys() - self._known():
            del self._problems[volume_id]
        self._wake.set()
        self._news.ring()


_DOING = {Step.MOUNT: "mounted", Step.RELEASE: "released"}
