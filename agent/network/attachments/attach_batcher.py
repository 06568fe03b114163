"""Attaching tasks in batches: links one by one, then one nftables transaction for all.

A transaction of nftables costs as much for ten tasks as for one. While the kernel's thread is busy with one
attachment, the next ones gather.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.network.attachments.attachment import Attachment
from agent.network.attachments.namespaces import Namespace
from agent.network.kernel_threads import RunInThread
from shoal.errors import Unavailable


class LinkOperations(Protocol):
    """What batching needs of the datapath. Blocking."""

    def link(self, namespace: Namespace, attachment: Attachment) -> Attachment: ...
    def admit(self, attachments: Iterable[Attachment]) -> None: ...
    def detach(self, *task_ids: str) -> None: ...


@dataclass
class _PendingAttach:
    namespace: Namespace
    attachment: Attachment
    result: Attachment | Exception | None = None
    cancelled: bool = False


class AttachBatcher:
    """For the event loop.

    Args:
        in_kernel: runs a function in the thread that changes the kernel's tables, in the order of the calls.
    """

    def __init__(self, *, links: LinkOperations, in_kernel: RunInThread) -> None:
        self._links = links
        self._in_kernel = in_kernel
        self._pending: deque[_PendingAttach] = deque()

    async def attach(self, namespace: Namespace, attachment: Attachment) -> None:
        """Attach a task. Fails for this task alone.

        A cancelled call may still complete; undo it with a later call in the same thread.

        Raises:
            Unavailable: the kernel refused.
        """
        pending = _PendingAttach(namespace, attachment)
        self._pending.append(pending)
        try:
            await self._in_kernel(self._attach_pending)
        except BaseException:
            pending.cancelled = True
            raise
        if isinstance(pending.result, Exception):
            raise pending.result
        assert pending.result is not None, "the thread has handled everything that was pending"

    def _attach_pending(self) -> None:
        """Handle all pending ones; later calls find theirs done."""
        batch = [self._pending.popleft() for _ in range(len(self._pending))]
        for each in batch:
            if not each.cancelled:
                self._link(each)
        linked = [each for each in batch if isinstance(each.result, Attachment)]
        if linked and not self._admit(linked) and len(linked) > 1:
            for each in linked:
                self._admit([each])

    def _link(self, pending: _PendingAttach) -> None:
        try:
            pending.result = self._links.link(pending.namespace, pending.attachment)
        except Exception as error:  # raised for its own task; the others continue
            pending.result = error

    def _admit(self, pending: Sequence[_PendingAttach]) -> bool:
        """Whether they were admitted; a single one that was not is detached."""
        try:
            self._links.admit([each.result for each in pending if isinstance(each.result, Attachment)])
        except Unavailable as error:
            if len(pending) == 1:
                self._links.detach(pending[0].attachment.task_id)
                pending[0].result = error
            return False
        return True
