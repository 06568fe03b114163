"""The networks of this node's tasks, on a kernel in memory: nothing of a task that has ended stays open."""

import asyncio
import os
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest

from agent.network.attachments.attachment import Attachment
from agent.network.attachments.namespaces import Namespace
from agent.network.balancing.blackhole_routes import BLACKHOLE_SECONDS
from agent.network.dns.dns_clients import DnsClients
from agent.network.task_networks import TaskNetworks
from agent.worker.sandbox import ORDINARY
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Unavailable
from tests.fakes.virtual_time import run_virtual

T = TypeVar("T")


class Links:
    """Refuses to detach and to sweep while `refuses`."""

    refuses = False
    sweeps = 0

    def sweep(self) -> bool:
        self.sweeps += 1
        if self.refuses:
            raise Unavailable("netlink refused")
        return False

    def link(self, namespace: Namespace, attachment: Attachment) -> Attachment:
        del namespace
        return attachment

    def admit(self, attachments: Iterable[Attachment]) -> None:
        del attachments

    def detach(self, *task_ids: str) -> None:
        del task_ids
        if self.refuses:
            raise Unavailable("netlink refused")


class InLoop:
    """Stands in for the kernel's thread."""

    async def in_kernel(self, work: Callable[..., T], *args: Any) -> T:
        await asyncio.sleep(0)
        return work(*args)


class Reserve:
    """One namespace, whose descriptor is of /dev/null."""

    def __init__(self) -> None:
        self.descriptor = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    async def acquire(self) -> Namespace:
        return Namespace(self.descriptor, cast(Any, SimpleNamespace(close=lambda: None)), "s", "02:00:00:00:00:01")


def task_networks(links: Links, reserve: Reserve) -> TaskNetworks:
    datapath = SimpleNamespace(links=links, ipv6_unavailable_reason="", local_pool=IPv4Network("172.30.0.0/16"))
    nothing = SimpleNamespace(release_for=lambda _: None, reserve=lambda *_: None, release=lambda _: None)
    return TaskNetworks(
        threads=cast(Any, InLoop()),
        datapath=cast(Any, datapath),
        reserve=cast(Any, reserve),
        reservations=cast(Any, nothing),
        mesh_ports=cast(Any, nothing),
        dns_clients=DnsClients(),
        sweep_seconds=0.0,
    )


def test_the_namespace_of_a_task_is_released_though_the_kernel_refused_at_first() -> None:
    links, reserve = Links(), Reserve()

    async def run() -> None:
        networks = task_networks(links, reserve)
        sandbox = await networks.attach(Task(id="t"), ORDINARY)
        os.close(sandbox.netns_fd)
        links.refuses = True
        with pytest.raises(Unavailable):
            await networks.detach("t")
        assert os.fstat(reserve.descriptor)
        links.refuses = False
        await networks.detach("t")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(reserve.descriptor)

    run_virtual(run())


def test_links_are_deleted_later_where_the_kernel_refuses_that_now() -> None:
    links, reserve = Links(), Reserve()

    async def run() -> None:
        networks = task_networks(links, reserve)
        sweeping = asyncio.create_task(networks.run())
        links.refuses = True
        networks.request_sweep()
        await asyncio.sleep(1)
        links.refuses = False
        await asyncio.sleep(2 * BLACKHOLE_SECONDS)
        assert links.sweeps == 2 and not sweeping.done()  # once more
        sweeping.cancel()

    run_virtual(run())
    os.close(reserve.descriptor)
