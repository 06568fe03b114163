"""The resolver's UDP socket: reads batches, sends without a queue."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_QUERY_BYTES = 4096
"""Of a query over UDP or TCP (the maximum that a resolver need offer by RFC 6891, 6.2.5)."""
_BATCH = 32
_MAX_PARTS = 2
_UDP_GRO = 104
"""Linux's udp.h; the kernel reports the size of the segments by a control message of the same number."""

Source = tuple[str, int]
Receive = Callable[[bytes, Source], None]


class UdpTransport:
    """Passes on received datagrams until it is closed, a batch in each iteration of the event loop.

    A container may send up to 128 datagrams as one packet (UDP_SEGMENT, udp(7)), which rules count as one. So the
    kernel is told not to split it: the first two datagrams of each packet are read, since a program may query addresses
    of both families this way, and the rest is dropped.

    Args:
        listening: bound, not blocking; closed with this.
    """

    def __init__(self, listening: socket.socket, receive: Receive) -> None:
        self._socket = listening
        self._receive = receive
        self._buffer = bytearray(1 << 16)
        listening.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        asyncio.get_running_loop().add_reader(listening, self._read)

    def close(self) -> None:
        """Calls after the first do nothing."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def send(self, wire: bytes, to: Source) -> None:
        """Send a response, or drop it where the kernel's buffer is full: the client retries."""
        try:
            self._socket.sendto(wire, to)
        except OSError as error:
            log.debug("A DNS response could not be delivered: %s", error)

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                length, control, _, source = self._socket.recvmsg_into([self._buffer], socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            except OSError as error:  # of an earlier response
                log.debug("A DNS response could not be delivered: %s", error)
                continue
            size = gro_segment_bytes(control) or length
            for start in range(0, length or 1, size or 1)[:_MAX_PARTS]:
                self._receive(bytes(self._buffer[start : min(start + size, length)]), source)


def gro_segment_bytes(control: list[tuple[int, int, bytes]]) -> int:
    """The size of datagrams that arrived as one packet; 0 for a single one."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_UDP, _UDP_GRO):
            return int(struct.unpack("=i", data[:4])[0])
    return 0
