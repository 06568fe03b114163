"""Tasks of this node that share the network of another one: the order in which they and that one stop.

Who shares a network stops first, so that it is never left without one. It may serve what the other task publishes; so
before that, nobody is led to the other task any more. Each wait is bounded: a task is not kept from its end by another
one that managers do not stop.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from shoal.api.v1.task_pb2 import Task

SPARE_SECONDS = 10.0
"""Beyond the grace of those that share the network: managers' word that they are to stop may come later."""
POLL_SECONDS = 0.02


class Partner(Protocol):
    """A task of this node, as its runner has it."""

    @property
    def task(self) -> Task: ...

    @property
    def has_container(self) -> bool:
        """Its container runs."""
        ...

    @property
    def is_led_to(self) -> bool:
        """It is to stop, and clients may still be led to it."""
        ...

    @property
    def grace_seconds(self) -> float:
        """From its stop signal to SIGKILL."""
        ...


class Sharing:
    """Who shares whose network.

    Args:
        partners: all tasks of the node by id.
    """

    def __init__(self, partners: Mapping[str, Partner]) -> None:
        self._partners = partners
        self._sharers: dict[str, set[str]] = {}

    def add(self, task: Task) -> None:
        """The task is on the node from now on."""
        if task.network_of:
            self._sharers.setdefault(task.network_of, set()).add(task.id)

    def remove(self, task: Task) -> None:
        """It is there no more."""
        if task.network_of and (sharers := self._sharers.get(task.network_of)) is not None:
            sharers.discard(task.id)
            if not sharers:
                del self._sharers[task.network_of]

    def waits(self, task: Task) -> bool:
        """Whether the task, which is to stop, is to wait for another one."""
        if task.network_of:
            other = self._partners.get(task.network_of)
            return other is not None and other.is_led_to
        return bool(self._living(task))

    def seconds(self, task: Task) -> float:
        """How long it waits at most: what nobody is led to any more is told by a wait that has a bound of its own."""
        return max((each.grace_seconds for each in self._living(task)), default=0.0) + SPARE_SECONDS

    def _living(self, task: Task) -> list[Partner]:
        sharers = self._sharers.get(task.id)
        if not sharers:
            return []
        found = (self._partners.get(task_id) for task_id in sharers)
        return [each for each in found if each is not None and each.has_container]


class Turn:
    """Of one task: when it may be asked to stop."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._came = False

    def is_awaited(self, task: Task) -> bool:
        """Whether others have to stop, or to be left by their clients, before it."""
        return not self._came and self._sharing.waits(task)

    async def wait(self, task: Task, has_ended: Callable[[], bool]) -> None:
        """Until it is its turn, at most for so long as that may take, or until its container has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if task.network_of else self._sharing.seconds(task)):
                while self._sharing.waits(task) and not has_ended():  # noqa: ASYNC110  (their ends are nobody's event)
                    await asyncio.sleep(POLL_SECONDS)
        self._came = True
