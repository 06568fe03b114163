"""One netlink socket: batches of requests, and dumps."""

import logging
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from agent.network.netlink.rtnetlink import ACK, DUMP, NOT_FOUND, REQUEST, Message
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT_CHECK = 270, 10, 11, 12
_SO_RCVBUFFORCE = 33
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_KERNEL = 0
"""Its port (netlink(7))."""
_INTERRUPTED = 0x10
"""NLM_F_DUMP_INTR: the listed table changed during the dump."""
_BATCH = 256
"""Requests in one send: the kernel answers all of them before the send returns, into a bounded buffer."""


class Reply(NamedTuple):
    """One message from the kernel, without its header."""

    type: int
    sequence: int
    body: bytes


class Refusal(NamedTuple):
    """A request that the kernel refused, and why, as a continuation of "the kernel refused to"."""

    message: Message
    reason: str


class Connection:
    """A socket in the network namespace of the thread that creates it; for one thread at a time.

    Args:
        family: NETLINK_ROUTE, or another family of netlink(7) whose messages have this form.
    Raises:
        OSError: the kernel lacks the family, or has no socket left.
    """

    def __init__(self, family: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        for option in (_CAP_ACK, _EXT_ACK, _STRICT_CHECK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def apply(self, messages: Iterable[Message]) -> None:
        """Send every request, in order. A failed one does not keep later ones from being tried.

        Raises:
            Unavailable: the kernel refused some; the text names the first, and how many more.
        """
        if failures := [refusal.reason for refusal in self.attempt(messages)]:
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise Unavailable(f"the kernel refused to {failures[0]}{more}")

    def attempt(self, messages: Iterable[Message]) -> list[Refusal]:
        """Send every request, in order; returns those that the kernel refused."""
        refusals: list[Refusal] = []
        rest = iter(messages)
        while batch := list(islice(rest, _BATCH)):
            refusals += self._send(batch)
        return refusals

    def _send(self, batch: Sequence[Message]) -> Iterator[Refusal]:
        first = self._sequence + 1
        self._sequence += len(batch)
        packet = bytearray()
        for sequence, message in enumerate(batch, first):
            # Errors are always reported; success only of the last request, which thereby ends the batch.
            flags = message.flags | REQUEST | (ACK if sequence == self._sequence else 0)
            packet += _HEADER.pack(16 + len(message.body), message.kind, flags, sequence, 0) + message.body
            packet += b"\0" * (-len(packet) % 4)
        self._transmit(packet)
        for reply in self._replies(first, self._sequence):
            number = -struct.unpack_from("=i", reply.body)[0]
            message = batch[reply.sequence - first]
            if number and number not in message.ignored_errors:
                yield Refusal(message, f"{message.description}: {os.strerror(number)}{extended_error(reply.body)}")

    def request(self, kind: int, body: bytes) -> list[Reply]:
        """The kernel's replies to one request; empty when the object does not exist.

        Raises:
            Unavailable: the kernel refused.
        """
        self._sequence += 1
        self._transmit(_HEADER.pack(16 + len(body), kind, REQUEST | ACK, self._sequence, 0) + body)
        *answers, verdict = self._replies(self._sequence, self._sequence)
        error = -struct.unpack_from("=i", verdict.body)[0]
        if error and error not in NOT_FOUND:
            raise Unavailable(f"the kernel refused a netlink request: {os.strerror(error)}")
        return [] if error else answers

    def dump(self, kind: int, body: bytes) -> list[Reply]:
        """All objects of a kind (RTM_GET…) that match `body`, whose header the kernel checks strictly.

        A table that changed during the dump is read again.
        """
        for _ in range(5):
            self._sequence += 1
            header = _HEADER.pack(16 + len(body), kind, REQUEST | DUMP, self._sequence, 0)
            self._transmit(header + body)
            replies = list(self._replies(self._sequence, self._sequence))
            if replies and replies[-1].type == _ERROR:
                number = -struct.unpack_from("=i", replies[-1].body)[0]
                raise Unavailable(f"the kernel refused a netlink dump: {os.strerror(number)}")
            if not self._interrupted:
                return replies
        raise Unavailable("the kernel's tables change faster than they can be listed")

    def _transmit(self, packet: bytes | bytearray) -> None:
        try:
            self._socket.send(packet)
        except OSError as error:
            raise _out_of_memory(error) from error

    def _drain(self) -> None:
        """Read what is left after replies were lost: until then the kernel drops those to later requests too."""
        with suppress(OSError):
            while True:
                self._socket.recv(1 << 18, socket.MSG_DONTWAIT)

    def _replies(self, first: int, last: int) -> Iterator[Reply]:
        """Replies up to the one that ends the request `last`. Replies to requests before `first` are skipped."""
        self._interrupted = False
        while True:
            try:
                data, (sender, _) = self._socket.recvfrom(1 << 18)
            except OSError as error:
                self._drain()
                raise _out_of_memory(error) from error
            if sender != _KERNEL:  # a process with CAP_NET_ADMIN in a container's namespace may send to our socket too
                continue
            for reply, flags in parse_messages(data):
                self._interrupted |= bool(flags & _INTERRUPTED)
                if reply.sequence < first:
                    continue
                if reply.type != _DONE:
                    yield reply
                if reply.type in (_DONE, _ERROR) and reply.sequence == last:
                    return


def _out_of_memory(error: OSError) -> Unavailable:
    """ENOBUFS, ENOMEM. What was requested may have been done."""
    return Unavailable(f"the kernel has no memory for a netlink request: {error.strerror}")


def parse_messages(data: bytes) -> Iterator[tuple[Reply, int]]:
    """The messages of one datagram, with their flags (netlink(7)). Pure.

    Raises:
        Unavailable: the datagram is malformed.
    """
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise Unavailable("truncated netlink message")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= len(data) - offset:
            raise Unavailable("netlink message with an invalid length")
        yield Reply(kind, sequence, data[offset + _HEADER.size : offset + length]), flags
        offset += (length + 3) & ~3


def extended_error(body: bytes) -> str:
    """The kernel's own explanation, where it gives one (NLMSGERR_ATTR_MSG)."""
    offset = 20
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if kind & 0x3FFF == 1:
            return f" ({body[offset + 4 : offset + length - 1].decode(errors='replace')})"
        offset += max(4, (length + 3) & ~3)
    return ""
