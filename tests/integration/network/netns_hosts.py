"""Hosts that are network namespaces on one bridge, none of it reachable from the machine's own network.

Each host runs a real `NodeNetwork` in a thread of its own, inside the host's namespace. Containers are the namespaces
that it hands out; sockets are made inside them by the testing thread.
"""

import asyncio
import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from agent.assignments.assigned_state import AssignedState
from agent.network.attachments.namespaces import create_namespace
from agent.network.network_lifecycle import run_node_network
from agent.network.network_settings import NetworkSettings
from agent.network.node_network import NodeNetwork
from agent.worker.sandbox import NetworkOptions, Sandbox
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskPort

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
QUICK = NetworkSettings(spare_namespaces=2, reconcile_seconds=3_600.0)
"""Nothing is compared with the kernel's state but where a test asks for it: on a slow machine the periodic comparison
would repair what a test has damaged before it looks."""
DEADLINE_SECONDS = 60.0


def until(condition: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
    """Poll until it is true, and return it; at the deadline whatever it is then."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """The calling thread is in this namespace; sockets made here stay in it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _libc.setns(home, _CLONE_NEWNET)
        os.close(home)


def run(descriptor: int, *command: str, check: bool = True, seconds: float = 20) -> str:
    """Run a program in a namespace; what it printed."""
    path = f"--net=/proc/{os.getpid()}/fd/{descriptor}"
    done = subprocess.run(["nsenter", path, *command], capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def pings(descriptor: int, address: str, *options: str) -> bool:
    return " 0% packet loss" in run(descriptor, "busybox", "ping", "-c", "1", "-W", "1", *options, address, check=False)


def ip(descriptor: int, *lines: str) -> None:
    for line in lines:
        run(descriptor, "ip", *line.split())


class Host:
    """One host: its namespace, and the network that runs in it between `start` and `stop`."""

    def __init__(self, number: int, descriptor: int) -> None:
        self.address = f"172.31.0.{number}"
        self.node_id = f"node{number}"
        self.descriptor = descriptor
        self.settings = QUICK
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end: asyncio.Event | None = None
        self.network: NodeNetwork

    @property
    def peer(self) -> Peer:
        return Peer(node_id=self.node_id, address=self.address, vtep_mac=self.network.description().vtep_mac)

    def start(self, **settings: object) -> None:
        self.settings = replace(QUICK, **settings)  # type: ignore[arg-type]
        self._assigned = Assignments()
        started = threading.Event()
        failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._live, args=(started, failures))
        self._thread.start()
        started.wait()
        if failures:
            raise failures[0]

    def _live(self, started: threading.Event, failures: list[BaseException]) -> None:
        with inside(self.descriptor):
            try:
                asyncio.run(self._serve(started))
            except BaseException as error:
                failures.append(error)
                self._end = None
                started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with run_node_network(
            underlay_address=self.address, node_id=self.node_id, settings=self.settings
        ) as self.network:
            started.set()
            await self._end.wait()

    def stop(self) -> None:
        """End the process's part, as an agent that is stopped does."""
        if self._thread is not None and self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
            self._thread = None

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def assign(
        self,
        networks: Sequence[NetworkAssignment],
        endpoints: Sequence[TaskEndpoint],
        peers: Sequence[Peer],
        services: Sequence[ServiceEndpoint] = (),
    ) -> None:
        """Bring the host from its last assignments to these."""
        known = AssignedState()
        known.apply(self._assigned)
        change = Assignments(snapshot=True, networks=networks, endpoints=endpoints, peers=peers, services=services)
        self.call(self.network.apply(known.apply(change).cluster))
        self._assigned = change

    def nft(self, command: str) -> str:
        return run(self.descriptor, "nft", command)


class Hosts:
    """Hosts 1, 2 and as many as asked for, and a client that is in no cluster at 172.31.0.100, all on one bridge."""

    def __init__(self, count: int = 2) -> None:
        self._stack = ExitStack()
        self._count = count
        self.mtu = 1500

    def __enter__(self) -> "Hosts":
        self.switch = self.namespace()
        ip(self.switch, "link add ubr0 type bridge", "link set ubr0 up")
        self.all = [Host(number, self._plug(number)) for number in range(1, self._count + 1)]
        self.one, self.two = self.all[:2]
        self.client = self._plug(100)
        for host in self.all:
            self._stack.callback(host.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def namespace(self) -> int:
        descriptor, connection = create_namespace()
        connection.close()
        self._stack.callback(os.close, descriptor)
        ip(descriptor, "link set lo up")
        return descriptor

    def _plug(self, number: int) -> int:
        descriptor = self.namespace()
        there = f"/proc/{os.getpid()}/fd/{descriptor}"
        ip(
            self.switch,
            f"link add u{number} mtu {self.mtu} type veth peer name eth0 mtu {self.mtu} netns {there}",
            f"link set u{number} master ubr0 up",
        )
        ip(descriptor, f"addr add 172.31.0.{number}/24 dev eth0", "link set eth0 up")
        return descriptor

    def start(self, **settings: object) -> None:
        for host in self.all:
            host.start(**settings)

    def apply(
        self, networks: list[NetworkAssignment], endpoints: list[TaskEndpoint], *services: ServiceEndpoint
    ) -> None:
        """The same word to all hosts."""
        for host in self.all:
            host.assign(networks, endpoints, [each.peer for each in self.all], services)

    def attach(self, host: Host, task: Task, **options: Any) -> Sandbox:
        sandbox = host.call(host.network.attach(task, NetworkOptions(**options)))
        self._stack.callback(os.close, sandbox.netns_fd)
        # The kernel lets a link that has just come up send a moment later; a container takes longer to start than that.
        until(lambda: "state UP" in run(sandbox.netns_fd, "ip", "-o", "link", "show", "eth0"))
        return sandbox


def network(number: int, *, internal: bool = False) -> NetworkAssignment:
    """Network `net<number>` with the subnet 10.99.<number>.0/24."""
    return NetworkAssignment(
        network_id=f"net{number}", name=f"net-{number}", subnet=f"10.99.{number}.0/24", internal=internal
    )


def endpoint(
    number: int, host: Host, *networks: int, service: str = "web", ready: bool = True, **more: Any
) -> TaskEndpoint:
    """Task `number`, slot `number`, at .<number> on each of the networks."""
    return TaskEndpoint(
        task_id=f"task{number:09}",
        service_id=f"id-of-{service}",
        service_name=service,
        slot=number,
        node_id=host.node_id,
        addresses=[TaskAddress(network_id=f"net{each}", address=f"10.99.{each}.{number}") for each in networks],
        ready=ready,
        **more,
    )


def task(of: TaskEndpoint, *ports: TaskPort) -> Task:
    """The task behind an endpoint."""
    return Task(id=of.task_id, slot=of.slot, node_id=of.node_id, addresses=of.addresses, ports=ports)


@contextmanager
def tcp_echo(descriptor: int, port: int) -> Iterator[list[str]]:
    """A server that sends back what it gets, on every address of the namespace; the list has its clients' addresses."""
    with inside(descriptor):
        listener = socket.create_server(("", port))
    seen: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, (client, _) = listener.accept()
            except OSError:
                return
            seen.append(client)
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def tcp_exchange(descriptor: int, address: str, port: int, data: bytes = b"hello", seconds: float = 2) -> bytes:
    """Send to an echo server and read all of it back."""
    with inside(descriptor):
        client = socket.socket()
    with client:
        client.settimeout(seconds)
        client.connect((address, port))
        threading.Thread(target=client.sendall, args=(data,)).start()
        received = bytearray()
        while len(received) < len(data):
            if not (part := client.recv(65536)):
                break
            received += part
        return bytes(received)


def refused(descriptor: int, address: str, port: int, seconds: float = 1) -> bool:
    """Whether a connection does not come about, by refusal, unreachability or silence."""
    try:
        tcp_exchange(descriptor, address, port, seconds=seconds)
    except OSError:
        return True
    return False
