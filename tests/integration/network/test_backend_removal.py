"""The moment between a task's end and everybody's knowledge of it: no client gets an error that there is no route."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from select import select

import pytest

from shoal.api.v1.dispatcher_pb2 import TaskEndpoint
from tests.integration.network.netns_hosts import Hosts, endpoint, inside, ip, run, task, until
from tests.integration.network.test_ipv6_between_hosts import echo
from tests.integration.network.test_tasks_that_exit import (
    CLIENTS,
    MESH,
    PLACES,
    Clients,
    net,
    service,
    web,
)

FIRST_PORT = 20_000
"""Of the clients' own."""
QUIET_SECONDS = 0.5
"""After which no further answer comes; clients' kernels ask once more after a second."""


class Cluster:
    """A task of the service on each of two hosts, and clients in their network and outside. The second task ends."""

    def __init__(self, hosts: Hosts, stack: ExitStack) -> None:
        self.hosts, self.stack = hosts, stack
        self.kept, self.lost = web(1, hosts.one), web(2, hosts.two)
        self._other = endpoint(3, hosts.one, 1, service="other")
        self._other.addresses[0].address6 = "fd99:1::3"
        self.lead(self.kept, self.lost)
        stack.enter_context(echo(hosts.attach(hosts.one, task(self.kept)).netns_fd, 80))
        self._inside = hosts.attach(hosts.one, task(self._other)).netns_fd
        self._container = hosts.two.call(hosts.two.network.attach(task(self.lost))).netns_fd

    def lead(self, *webs: TaskEndpoint) -> None:
        """What every node receives of the service."""
        self.hosts.apply([net(), MESH], [*webs, self._other], service())

    def end(self) -> None:
        """The container ends, and its agent learns of it."""
        self.end_unseen()
        self.hosts.two.call(self.hosts.two.network.detach(self.lost.task_id))

    def end_unseen(self) -> None:
        """The container's last process ends, and nobody notifies the agent."""
        os.close(self._container)

    def client_ns(self, place: str) -> int:
        """The namespace that clients of the place are in."""
        return self._inside if "virtual" in place else self.hosts.client

    def link_is_gone(self) -> bool:
        return "sh-ask000000002" not in run(self.hosts.two.descriptor, "ip", "-o", "link")


@pytest.fixture
def cluster(hosts: Hosts) -> Iterator[Cluster]:
    for descriptor, number in ((hosts.one.descriptor, 1), (hosts.two.descriptor, 2), (hosts.client, 100)):
        ip(descriptor, f"-6 addr add fd31::{number}/64 dev eth0 nodad")
    hosts.start()
    with ExitStack() as stack:
        yield Cluster(hosts, stack)


def client(descriptor: int, place: tuple[str, int], port: int) -> socket.socket:
    """One that will ask from this port."""
    with inside(descriptor):
        made = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", port))
    return made


def unanswered(descriptor: int, place: tuple[str, int]) -> list[int]:
    """Ask from many ports at once; those whose connections nobody has answered when the others have been."""
    asked = [client(descriptor, place, FIRST_PORT + number) for number in range(CLIENTS)]
    for each in asked:
        each.setblocking(False)
        assert each.connect_ex(place) == errno.EINPROGRESS
    waiting, seconds = list(asked), 5.0
    while answered := select([], waiting, [], seconds)[1]:
        waiting, seconds = [each for each in waiting if each not in answered], QUIET_SECONDS
    assert len(waiting) < len(asked), "an answer"
    ports = [each.getsockname()[1] for each in waiting]
    for each in asked:
        each.close()
    return ports


def answer(client_ns: socket.socket, place: tuple[str, int]) -> str:
    with client_ns:
        client_ns.settimeout(5)
        try:
            client_ns.connect(place)
            client_ns.sendall(b"hello")
            return client_ns.recv(100).decode()
        except OSError as error:
            return repr(error)


@pytest.mark.parametrize("place", PLACES)
def test_who_asks_again_as_its_routes_go_is_led_to_another_task(cluster: Cluster, place: str) -> None:
    cluster.end()
    where, client_ns = PLACES[place], cluster.client_ns(place)
    ports = until(lambda: unanswered(client_ns, where))
    cluster.lead(cluster.kept)  # as managers do: the ended task is not in the assignments any more
    again = [answer(client(client_ns, where, port), where) for port in ports]
    assert ports and again == ["hello"] * len(ports)


@pytest.mark.parametrize("place", PLACES)
def test_a_container_that_vanishes_without_its_agents_knowledge(cluster: Cluster, place: str) -> None:
    two = cluster.hosts.two
    two.stop()  # its successor does not hold the container's namespace: the link goes with the last process
    two.start()
    two.call(two.network.recover([task(cluster.lost)]))
    cluster.lead(cluster.kept, cluster.lost)
    cluster.end_unseen()
    assert until(cluster.link_is_gone)
    clients = Clients(cluster.stack, cluster.client_ns(place), PLACES[place])
    until(lambda: len(clients.outcomes) >= 1)
    two.call(two.network.detach(cluster.lost.task_id))
    cluster.lead(cluster.kept)
    assert clients.ended() == ["hello"] * CLIENTS


@pytest.mark.parametrize("place", PLACES)
def test_a_container_that_ends_while_no_agent_runs(cluster: Cluster, place: str) -> None:
    two = cluster.hosts.two
    two.stop()
    cluster.end_unseen()
    assert until(cluster.link_is_gone)
    clients = Clients(cluster.stack, cluster.client_ns(place), PLACES[place])
    until(lambda: len(clients.outcomes) >= 1)
    two.start()
    two.call(two.network.recover([]))
    cluster.lead(cluster.kept)
    assert clients.ended() == ["hello"] * CLIENTS
