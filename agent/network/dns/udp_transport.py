"""The resolver's UDP socket: reads batches, sends without a queue."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_QUERY_BYTES = 4096
"""Of a query over UDP or TCP (RFC 6891, 6.2.5, takes it as the most that a resolver need offer)."""
_BATCH = 32
_MAX_PARTS = 2
_UDP_GRO = 104
"""Linux's udp.h; the kernel tells the size of the parts by a control message of the same number."""

Source = tuple[str, int]
Receive = Callable[[bytes, Source], None]


class UdpTransport:
    """Hands over what comes until it is closed, a batch for each turn of the event loop.

    A container may send up to 128 datagrams as one packet (UDP_SEGMENT, udp(7)), which rules count as one. So the
    kernel is told not to take it apart: of each packet the first two are read, since a program may ask for addresses
    of both families so, and the rest is dropped.

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
        """Send it, or drop it where the kernel has no room: the asker asks again."""
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
            except OSError as error:  # what an earlier answer came to
                log.debug("A DNS response could not be delivered: %s", error)
                continue
            size = gro_segment_bytes(control) or length
            for start in range(0, length or 1, size or 1)[:_MAX_PARTS]:
                self._receive(bytes(self._buffer[start : min(start + size, length)]), source)


def gro_segment_bytes(control: list[tuple[int, int, bytes]]) -> int:
    """Of datagrams that came as one packet, 0 of one that came alone."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_UDP, _UDP_GRO):
            return int(struct.unpack("=i", data[:4])[0])
    return 0
