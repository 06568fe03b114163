"""The contents that managers have sent, in this process's memory and nowhere else on the host.

They never pass through the journal, the log or an error. A container that runs has its own copy in a tmpfs that only
its mount namespace has, so an agent that starts anew needs none for it; for what it is yet to start the managers send
them again.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from agent.files import needs
from agent.worker.seams import MountedFile, Report
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import ServiceRevision


class FileContents:
    """Contents by key ("secret/<id>/<version>"). Use it from the event loop."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._of_volumes: dict[str, frozenset[str]] = {}
        self._changed = asyncio.Event()

    def take(self, news: Assignments, revisions: Iterable[ServiceRevision]) -> None:
        """Keep what a manager sent, and of everything only what these revisions and this node's volumes need."""
        self._take_volumes(news)
        keys = needs.needed_by(revisions).union(*self._of_volumes.values())
        sent = {file.key: file.content for file in news.files}
        self._contents = {key: content for key, content in {**self._contents, **sent}.items() if key in keys}
        self._wake()

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those that have not come yet."""
        return [key for key in keys if key not in self._contents]

    def present(self, keys: Iterable[str]) -> Mapping[str, bytes]:
        """Those of these contents that have come."""
        return {key: self._contents[key] for key in keys if key in self._contents}

    async def wait(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """All of these contents, once they have come."""
        while self.missing(keys):
            await self._changed.wait()
        return {key: self._contents[key] for key in keys}

    async def arrived(self, container: ContainerSpec, report: Report) -> tuple[MountedFile, ...]:
        """A container's secrets and configs, once all have come; what is waited for is reported by its name."""
        keys = needs.needed(container).keys()
        if missing := self.missing(keys):
            report(needs.waiting_for(container, missing))
        return needs.mounted_files(container, await self.wait(keys))

    def _take_volumes(self, news: Assignments) -> None:
        if news.snapshot:
            self._of_volumes.clear()
        for volume_id in news.removed_attachments:
            self._of_volumes.pop(volume_id, None)
        for each in news.attachments:
            self._of_volumes[each.volume_id] = frozenset(secret.content for secret in each.secrets)

    def _wake(self) -> None:
        """Everyone who waits looks once."""
        self._changed.set()
        self._changed = asyncio.Event()
