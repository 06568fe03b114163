"""Answers of addresses as bytes: objects for each record cost two thirds of an answer."""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype

from agent.network.netlink.rtnetlink import Address

_HEADER_BYTES = 12
ADDRESS_TYPES = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}
"""By the version of IP."""


@dataclass(frozen=True)
class AddressAnswer:
    """An answer but for the query's number, and the choice and order of records.

    Attributes:
        head: from the third byte to the end of the question.
        records: all that there are.
        sent: how many of them the answer takes; where it is fewer, `head` has the sign that there are more (TC).
        tail: what follows the records.
    """

    head: bytes
    records: Sequence[bytes]
    sent: int
    tail: bytes

    def wire(self, query_id: bytes, shuffle: random.Random) -> bytes:
        """The answer to the query of this number (two bytes).

        Args:
            shuffle: decides the order of addresses, so that askers that take the first spread over all.
        """
        records = self.records
        if len(records) > 1:
            records = shuffle.sample(records, self.sent)
        return b"".join((query_id, self.head, *records, self.tail))


def address_answer(response: dns.message.Message, addresses: Sequence[Address], ttl: int, limit: int) -> AddressAnswer:
    """Put as many of the addresses as the limit takes, bytes, between question and OPT of an empty answer."""
    bare = response.to_wire()
    starts = {version: _record_start(version, ttl) for version in ADDRESS_TYPES}
    records = tuple(starts[address.version] + address.packed for address in addresses)
    largest = max(map(len, records), default=1)
    sent = min(len(addresses), (limit - len(bare)) // largest)
    if sent < len(addresses):
        response.flags |= dns.flags.TC
        bare = response.to_wire()
    end = _HEADER_BYTES + len(response.question[0].name.to_wire() or b"") + 4
    head = bare[2:6] + struct.pack(">H", sent) + bare[8:end]
    return AddressAnswer(head, records, sent, bare[end:])


def _record_start(version: int, ttl: int) -> bytes:
    """Of an address record: the question's name, by a pointer to it (RFC 1035, 4.1.4), type, class, TTL and length."""
    length = 4 if version == 4 else 16
    return struct.pack(">HHHIH", 0xC000 | _HEADER_BYTES, ADDRESS_TYPES[version], dns.rdataclass.IN, ttl, length)
