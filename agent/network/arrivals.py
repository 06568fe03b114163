"""Attachments of tasks that come together: each is linked by itself, then all are let through in one transaction.

A transaction of nftables costs as much for ten tasks as for one. While the kernel's thread is busy with one
attachment, the next ones gather.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.network.attachment import Attachment
from agent.network.namespaces import Namespace
from shoal.errors import Unavailable


class Links(Protocol):
    """The part of the datapath that is needed here. All calls block."""

    def link(self, namespace: Namespace, attachment: Attachment) -> Attachment: ...
    def admit(self, attachments: Iterable[Attachment]) -> None: ...
    def detach(self, *task_ids: str) -> None: ...


@dataclass
class _Arrival:
    namespace: Namespace
    attachment: Attachment
    outcome: Attachment | Exception | None = None
    withdrawn: bool = False


class Arrivals:
    """For the event loop.

    Args:
        in_kernel: runs a function in the one thread that changes the kernel's tables, in the order of the calls.
    """

    def __init__(self, *, links: Links, in_kernel: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        self._links = links
        self._in_kernel = in_kernel
        self._waiting: deque[_Arrival] = deque()

    async def attach(self, namespace: Namespace, attachment: Attachment) -> None:
        """Attach a task. A failure is that of this task alone. Cancelled, it may be made: what undoes it queues behind.

        Raises:
            Unavailable: the kernel refused.
        """
        arrival = _Arrival(namespace, attachment)
        self._waiting.append(arrival)
        try:
            await self._in_kernel(self._take_all)
        except BaseException:
            arrival.withdrawn = True
            raise
        if isinstance(arrival.outcome, Exception):
            raise arrival.outcome
        assert arrival.outcome is not None, "the thread has done all that had come before"

    def _take_all(self) -> None:
        """All that wait; who comes later finds theirs done."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        for arrival in batch:
            if not arrival.withdrawn:
                self._link(arrival)
        linked = [arrival for arrival in batch if isinstance(arrival.outcome, Attachment)]
        if linked and not self._admitted(linked) and len(linked) > 1:
            for arrival in linked:
                self._admitted([arrival])

    def _link(self, arrival: _Arrival) -> None:
        try:
            arrival.outcome = self._links.link(arrival.namespace, arrival.attachment)
        except Exception as error:  # its own task raises it; the others' go on
            arrival.outcome = error

    def _admitted(self, arrivals: Sequence[_Arrival]) -> bool:
        """Whether they were let through; one alone that was not is undone."""
        try:
            self._links.admit([arrival.outcome for arrival in arrivals if isinstance(arrival.outcome, Attachment)])
        except Unavailable as error:
            if len(arrivals) == 1:
                self._links.detach(arrivals[0].attachment.task_id)
                arrivals[0].outcome = error
            return False
        return True
