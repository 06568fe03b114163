"""Tasks that are attached together: one transaction, and each failure is that of its own task."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Event
from typing import TypeVar, cast

import pytest

from agent.network.attachments.attach_batcher import AttachBatcher
from agent.network.attachments.attachment import Attachment
from agent.network.attachments.namespaces import Namespace
from shoal.errors import Unavailable

NAMESPACE = cast(Namespace, None)
T = TypeVar("T")


class Links:
    """A kernel that refuses some tasks, and whose first link takes until `go`."""

    def __init__(self, *, no_link: str = "", not_admitted: str = "") -> None:
        self.go = Event()
        self.linked: list[str] = []
        self.admitted: list[list[str]] = []
        self.detached: list[str] = []
        self._no_link = no_link
        self._not_admitted = not_admitted

    def link(self, namespace: Namespace, attachment: Attachment) -> Attachment:
        assert self.go.wait(20)
        if attachment.task_id == self._no_link:
            raise OSError("no such link")
        self.linked.append(attachment.task_id)
        return attachment

    def admit(self, attachments: Iterable[Attachment]) -> None:
        ids = [attachment.task_id for attachment in attachments]
        if self._not_admitted in ids:
            raise Unavailable("nftables refused")
        self.admitted.append(ids)

    def detach(self, *task_ids: str) -> None:
        self.detached += task_ids


def attachment(name: str) -> Attachment:
    return Attachment(name, 0, "02:00:00:00:00:01", {}, None, ())


def attach(links: Links, *names: str, cancelled: str = "") -> dict[str, BaseException | None]:
    """Attach the first, and the others while the kernel is busy with it; what became of each."""

    async def run() -> dict[str, BaseException | None]:
        with ThreadPoolExecutor(1) as kernel:

            async def in_kernel(work: Callable[[], T]) -> T:
                return await asyncio.get_running_loop().run_in_executor(kernel, work)

            arrivals = AttachBatcher(links=links, in_kernel=in_kernel)
            tasks = {name: asyncio.create_task(arrivals.attach(NAMESPACE, attachment(name))) for name in names}
            await asyncio.sleep(0)
            if cancelled:
                tasks[cancelled].cancel()
                await asyncio.wait([tasks[cancelled]])
            links.go.set()
            results = await asyncio.gather(*tasks.values(), return_exceptions=True)
            return dict(zip(tasks, results, strict=True))

    return asyncio.run(run())


def test_those_that_wait_share_a_transaction() -> None:
    links = Links()
    assert set(attach(links, "a", "b", "c", "d").values()) == {None}
    assert links.linked == ["a", "b", "c", "d"]
    assert len(links.admitted) <= 2 and list(chain(*links.admitted)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("links", [Links(no_link="c"), Links(not_admitted="c")])
def test_a_failure_is_that_of_its_own_task(links: Links) -> None:
    results = attach(links, "a", "b", "c", "d")
    assert isinstance(results.pop("c"), (OSError, Unavailable))
    assert set(results.values()) == {None}
    assert sorted(chain(*links.admitted)) == ["a", "b", "d"]


def test_one_that_is_not_let_through_is_undone() -> None:
    links = Links(not_admitted="a")
    assert isinstance(attach(links, "a")["a"], Unavailable)
    assert links.detached == ["a"]


def test_one_that_is_cancelled_before_its_turn_is_not_made() -> None:
    links = Links()
    results = attach(links, "a", "b", "c", cancelled="c")
    assert isinstance(results["c"], asyncio.CancelledError) and "c" not in links.linked
    assert sorted(chain(*links.admitted)) == ["a", "b"]
