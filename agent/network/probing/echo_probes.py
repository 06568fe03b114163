"""Echo probes of other nodes: ICMP on the underlay, own Ethernet frames through the tunnel.

A frame of our own (Ethernet type 0x88B5, for local experiments: IEEE 802) needs no address inside the tunnel, and only
crosses it where FDB entries point to the other node and that node accepts this one's packets.
"""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from agent.network.ip_types import Address, family_of
from agent.network.netlink.rtnetlink import mac_bytes
from agent.network.well_known import VXLAN_DEVICE
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_ECHO_REPLY6, _ECHO_REQUEST6 = 129, 128
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3
"""ip(7), ipv6(7): never fragment, and ignore the cached path MTU."""
_IP_BYTES, _IPV6_BYTES = 20, 40
_ICMP = struct.Struct(">BBHHH")
_ETHERNET_TYPE = 0x88B5
_FRAME = struct.Struct(">6s6sH5sBQ")
_MAGIC = b"SHOAL"
_ETHERNET_BYTES = 14
MIN_PROBE_BYTES = 68
"""Of the smallest probe; every IPv4 path carries it (RFC 791)."""


class PendingEchoes:
    """Probes that wait for their reply, by sequence number."""

    def __init__(self) -> None:
        self._numbers = count(int.from_bytes(os.urandom(2), "big"))
        self._open: dict[int, asyncio.Future[float]] = {}

    async def ping(self, send: Callable[[int], None], mask: int, seconds: float) -> float | None:
        """Seconds until the reply to the probe that `send` sends under a number; None without one in time."""
        loop = asyncio.get_running_loop()
        number = next(self._numbers) & mask
        begin = loop.time()
        reply: asyncio.Future[float] = loop.create_future()
        self._open[number] = reply
        try:
            send(number)
            async with asyncio.timeout(seconds):
                return await reply - begin
        except OSError as error:  # too large for the interface, no route; a timeout is one too
            log.debug("No echo of probe %d: %s", number, error)
            return None
        finally:
            del self._open[number]

    def on_reply(self, number: int) -> None:
        waiting = self._open.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(asyncio.get_running_loop().time())


class IcmpPinger:
    """ICMP echoes from the underlay address (RFC 792, RFC 4443), never fragmented."""

    def __init__(self, address: Address) -> None:
        self._pending = PendingEchoes()
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._is_ipv6 = address.version == 6
        protocol = socket.IPPROTO_ICMPV6 if self._is_ipv6 else socket.IPPROTO_ICMP
        self._socket = _open_socket(lambda: socket.socket(family_of(address), socket.SOCK_RAW, protocol))
        level, option = (
            (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER) if self._is_ipv6 else (socket.IPPROTO_IP, _IP_MTU_DISCOVER)
        )
        self._socket.setsockopt(level, option, _PMTUDISC_PROBE)
        self._socket.setblocking(False)
        self._socket.bind((str(address), 0))
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def ping(self, address: Address, size: int, seconds: float) -> float | None:
        """Seconds until the echo of a packet of `size` bytes (IP header included), None without one."""
        header, kind = (_IPV6_BYTES, _ECHO_REQUEST6) if self._is_ipv6 else (_IP_BYTES, _ECHO_REQUEST)

        def send(number: int) -> None:
            padding = b"\0" * (size - header - _ICMP.size)
            bare = _ICMP.pack(kind, 0, 0, self._identifier, number) + padding
            # For ICMPv6 the kernel computes the checksum (RFC 3542, 3.1).
            checked = _ICMP.pack(kind, 0, _checksum(bare), self._identifier, number) + padding
            self._socket.sendto(checked, (str(address), 0))

        return await self._pending.ping(send, 0xFFFF, seconds)

    def _read(self) -> None:
        with suppress(OSError):  # nothing more to read, or an ICMP error of an earlier packet
            while True:
                packet = self._socket.recv(1 << 16)
                start = 0 if self._is_ipv6 else (packet[0] & 0xF) * 4
                if len(packet) >= start + _ICMP.size:
                    kind, _, _, mark, number = _ICMP.unpack_from(packet, start)
                    if kind == (_ECHO_REPLY6 if self._is_ipv6 else _ECHO_REPLY) and mark == self._identifier:
                        self._pending.on_reply(number)


class TunnelPinger:
    """Frames of our own on the VXLAN device: sends probes, and replies to other nodes' as long as it is open."""

    def __init__(self, mac: str) -> None:
        self._pending = PendingEchoes()
        self._mac = mac_bytes(mac)
        # On all interfaces, so that it survives a recreated device; frames of other interfaces are ignored.
        kind = socket.ntohs(_ETHERNET_TYPE)
        self._socket = _open_socket(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind))
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def ping(self, mac: str, size: int, seconds: float) -> float | None:
        """Seconds until the echo of a packet of `size` bytes (without the Ethernet header), None without one."""

        def send(number: int) -> None:
            self._send(mac_bytes(mac), _ECHO_REQUEST, number, _ETHERNET_BYTES + size)

        return await self._pending.ping(send, (1 << 64) - 1, seconds)

    def _send(self, to: bytes, kind: int, number: int, length: int) -> None:
        frame = _FRAME.pack(to, self._mac, _ETHERNET_TYPE, _MAGIC, kind, number)
        self._socket.sendto(frame.ljust(length, b"\0"), (VXLAN_DEVICE, 0))

    def _read(self) -> None:
        with suppress(OSError):  # nothing more to read, or the device is down
            while True:
                frame, source = self._socket.recvfrom(1 << 16)
                if source[0] == VXLAN_DEVICE and source[2] != socket.PACKET_OUTGOING and len(frame) >= _FRAME.size:
                    self._handle(frame)

    def _handle(self, frame: bytes) -> None:
        to, sender, _, magic, kind, number = _FRAME.unpack_from(frame)
        if magic != _MAGIC or to != self._mac:
            return
        if kind == _ECHO_REQUEST:
            self._send(sender, _ECHO_REPLY, number, len(frame))
        elif kind == _ECHO_REPLY:
            self._pending.on_reply(number)


def _open_socket(make: Callable[[], socket.socket]) -> socket.socket:
    try:
        return make()
    except OSError as error:
        raise Unavailable(
            f"cannot open a socket for network probes: {error.strerror}; run the agent as root"
        ) from error


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
