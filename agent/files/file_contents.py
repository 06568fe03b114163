"""In-memory cache of the secrets and configs that managers sent; never written to disk.

They never appear in the journal, the log or an error. A running container has its own copy in a tmpfs of its mount
namespace, so a restarted agent does not need it; for containers that are not started yet, managers send them again.
"""

from collections.abc import Collection, Iterable, Mapping

from agent.files import required_files
from agent.worker.interfaces import MountedFile, Report
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.notifier import Notifier


class FileContents:
    """Contents by key ("secret/<id>/<version>"). Use it from the event loop."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._volume_keys: dict[str, frozenset[str]] = {}
        self._notifier = Notifier()

    def apply(self, message: Assignments, revisions: Iterable[ServiceRevision]) -> None:
        """Store the received files; drop those that neither these revisions nor this node's volumes need."""
        self._apply_volumes(message)
        keys = required_files.required_by(revisions).union(*self._volume_keys.values())
        sent = {file.key: file.content for file in message.files}
        self._contents = {key: content for key, content in {**self._contents, **sent}.items() if key in keys}
        self._notifier.notify()

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Contents that have not been received yet."""
        return [key for key in keys if key not in self._contents]

    def present(self, keys: Iterable[str]) -> Mapping[str, bytes]:
        """Received contents of these keys."""
        return {key: self._contents[key] for key in keys if key in self._contents}

    async def wait(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Wait until all of these contents have been received."""
        while self.missing(keys):
            await self._notifier.wakeup().wait()
        return {key: self._contents[key] for key in keys}

    async def wait_for_files(self, container: ContainerSpec, report: Report) -> tuple[MountedFile, ...]:
        """A container's secrets and configs, once all have been received; missing ones are reported by name."""
        keys = required_files.required_contents(container).keys()
        if missing := self.missing(keys):
            report(required_files.waiting_message(container, missing))
        return required_files.mounted_files(container, await self.wait(keys))

    def _apply_volumes(self, message: Assignments) -> None:
        if message.snapshot:
            self._volume_keys.clear()
        for volume_id in message.removed_attachments:
            self._volume_keys.pop(volume_id, None)
        for each in message.attachments:
            self._volume_keys[each.volume_id] = frozenset(secret.content_key for secret in each.secrets)
