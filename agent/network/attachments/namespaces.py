"""Anonymous network namespaces, held by a file descriptor."""

import ctypes
import errno
import os
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import count
from pathlib import Path

from agent.network.attachments.attachment import CONTAINER_INDEX
from agent.network.host.kernel_features import explain_link_error
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import (
    KernelRoute,
    Message,
    Neighbour,
    VethEnd,
    add_neighbour,
    add_route,
    add_veth,
    disable_ipv6_autoconf,
    set_link,
)
from agent.network.well_known import (
    CONTAINER_DEVICE,
    GATEWAY,
    GATEWAY6,
    GATEWAY_MAC,
    SPARE_GROUP,
    SPARE_PREFIX,
)
from shoal.errors import Unavailable

_CLONE_NEWNET = 0x40000000
_CURRENT = "/proc/thread-self/ns/net"
_SYSCTLS = {
    "ipv6/conf/default/accept_ra": "0",
    "ipv4/ip_unprivileged_port_start": "0",
    "ipv4/ping_group_range": "0 2147483647",
}
"""Of each new namespace: no link in it accepts router advertisements; any user listens on ports below 1024 and sends
pings, as in Docker's containers since 20.10: the ports of a namespace of its own are no other program's."""

_SYSCTL_ROOT = Path("/proc/sys/net")
"""Of the calling thread's network namespace."""
_LOOPBACK_INDEX = 1
_GATEWAY6_MESSAGES = (
    add_route(KernelRoute(IPv6Network(GATEWAY6), CONTAINER_INDEX)),
    add_neighbour(Neighbour(CONTAINER_INDEX, GATEWAY6, GATEWAY_MAC)),
)
_TOO_MANY = "the limit user.max_net_namespaces is reached; raise it with `sysctl`"
_libc = ctypes.CDLL(None, use_errno=True)


def _raise_on_error(result: int, action: str) -> None:
    if result:
        number = ctypes.get_errno()
        # unshare(2) has no other meaning of it, and "No space left on device" would send people to their disks.
        why = _TOO_MANY if number == errno.ENOSPC else os.strerror(number)
        raise Unavailable(f"cannot {action}: {why}")


@dataclass(frozen=True)
class Namespace:
    """A namespace with a link to the node's, ready for addresses.

    Attributes:
        descriptor: of the namespace; it lives as long as this, or a process in it.
        connection: rtnetlink inside.
        link: name of the host's end, which is down.
        mac: of the container's end.
    """

    descriptor: int
    connection: Connection
    link: str
    mac: str

    def close(self) -> None:
        """Release it; the kernel removes it, and the link with it, when no process is in it."""
        self.connection.close()
        os.close(self.descriptor)


def create_namespace() -> tuple[int, Connection]:
    """A new namespace: its descriptor and a socket inside. The calling thread returns to its own namespace.

    Raises:
        Unavailable: the kernel refused.
    """
    home = os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _raise_on_error(_libc.unshare(_CLONE_NEWNET), "create a network namespace")
        try:
            _set_sysctls()
            return os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC), Connection()
        finally:
            _raise_on_error(_libc.setns(home, _CLONE_NEWNET), "return to the host's network namespace")
    finally:
        os.close(home)


def _set_sysctls() -> None:
    for name, value in _SYSCTLS.items():
        with suppress(FileNotFoundError):  # the kernel has no IPv6
            (_SYSCTL_ROOT / name).write_text(value)


def random_mac() -> str:
    """A MAC address for the container's end of a link: of a single interface, locally administered."""
    return "02:" + secrets.token_bytes(5).hex(":")


def mac_messages(mac: str, *, ipv6: bool) -> list[Message]:
    """The requests in a namespace that give its link another MAC address; the kernel then forgets its neighbours."""
    return [set_link(CONTAINER_INDEX, mac=mac), *gateway_messages(ipv6=ipv6)]


def gateway_messages(*, ipv6: bool) -> list[Message]:
    """The requests in a namespace for the way to its gateway. The kernel drops it with the last address of a link."""
    return [
        add_route(KernelRoute(IPv4Network(GATEWAY), CONTAINER_INDEX)),
        add_neighbour(Neighbour(CONTAINER_INDEX, GATEWAY, GATEWAY_MAC)),
        *(_GATEWAY6_MESSAGES if ipv6 else ()),
    ]


def initial_messages(*, ipv6: bool) -> list[Message]:
    """The requests in a new namespace that has just got its link, whichever task will use it."""
    own = [disable_ipv6_autoconf(CONTAINER_DEVICE)] if ipv6 else []
    return [
        *own,
        set_link(_LOOPBACK_INDEX, up=True),
        set_link(CONTAINER_INDEX, up=True),
        *gateway_messages(ipv6=ipv6),
    ]


def connect_inside(pid: int, family: int) -> Connection:
    """A socket in the namespace of a process. The calling thread returns to its own namespace.

    Raises:
        FileNotFoundError: there is no such process.
        Unavailable: the kernel refused.
    """
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return connect_to_namespace(there, family)
    finally:
        os.close(there)


def connect_to_namespace(netns_fd: int, family: int) -> Connection:
    """A socket in a network namespace. The calling thread returns to its own one. Raises as `connect_inside`."""
    home = os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _raise_on_error(_libc.setns(netns_fd, _CLONE_NEWNET), "enter a container's network namespace")
        try:
            return Connection(family)
        finally:
            _raise_on_error(_libc.setns(home, _CLONE_NEWNET), "return to the host's network namespace")
    finally:
        os.close(home)


class NamespacePool:
    """Namespaces created in advance: creating one takes longer than the rest of attaching a task.

    `fill` and `close` are for the thread that owns `connection`; `acquire` is safe from any.
    """

    def __init__(self, *, connection: Connection, mtu: int, ipv6: bool) -> None:
        self._connection = connection
        self._ipv6 = ipv6
        self._mtu = mtu
        self._ready: deque[Namespace] = deque()
        # Unique to this pool: the kernel may still be removing links of an earlier one.
        self._prefix = f"{SPARE_PREFIX}{secrets.token_hex(3)}-"
        self._numbers = count()
        self._closed = False

    @classmethod
    def open(cls, *, mtu: int, ipv6: bool) -> "NamespacePool":
        """A pool with one namespace, for the thread that calls it.

        Raises:
            Unavailable: the kernel lacks a feature; the text names it.
        """
        pool = cls(connection=Connection(), mtu=mtu, ipv6=ipv6)
        try:
            pool.fill(1)
        except Unavailable as error:
            pool.close()
            raise explain_link_error(error) from error
        return pool

    def __len__(self) -> int:
        return len(self._ready)

    def acquire(self) -> Namespace | None:
        """A spare one, if there is any."""
        try:
            return self._ready.popleft()
        except IndexError:
            return None

    def fill(self, target: int) -> None:
        """Create one more if fewer than `target` are ready.

        Raises:
            Unavailable: the kernel refused, and nothing is left behind; or the pool is closed.
        """
        if self._closed:
            raise Unavailable("the agent's network is shutting down")
        if len(self._ready) < target:
            self._ready.append(self._make())

    def _make(self) -> Namespace:
        name = f"{self._prefix}{next(self._numbers) & 0xFFFF:x}"
        mac = random_mac()
        descriptor, inside = create_namespace()
        namespace = Namespace(descriptor, inside, name, mac)
        try:
            host, container = VethEnd(name, GATEWAY_MAC), VethEnd(CONTAINER_DEVICE, mac)
            self._connection.apply([add_veth(host, container, descriptor, self._mtu, SPARE_GROUP)])
            if self._ipv6:
                self._connection.apply([disable_ipv6_autoconf(name)])
            inside.apply(initial_messages(ipv6=self._ipv6))
        except Unavailable:
            namespace.close()
            raise
        return namespace

    def close(self) -> None:
        """Release all spare ones, and create no more."""
        self._closed = True
        self._connection.close()
        while (namespace := self.acquire()) is not None:
            namespace.close()
