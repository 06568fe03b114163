"""A host's images as a session with managers sees them."""

from collections.abc import AsyncGenerator, Sequence

from shoal.api.v1.dispatcher_pb2 import ImageReport
from shoal.notifier import Notifier


class FakeImageReports:
    """Reports these digests; keeps what managers say of the cluster's image repository."""

    def __init__(self, digests: Sequence[str] = ()) -> None:
        self.digests = list(digests)
        self.changed = Notifier()
        self.repositories: list[str] = []

    def set_cluster_repository(self, name: str) -> None:
        """As `ImageStore.set_cluster_repository`."""
        self.repositories.append(name)

    async def reports(self) -> AsyncGenerator[ImageReport]:
        """As `ImageStore.reports`."""
        async for _ in self.changed.wakeups():
            yield ImageReport(digests=self.digests)
