"""Reads and rewrites queries as bytes, without parsing them into objects (RFC 1035, 4.1; RFC 6891, 6.1)."""

HEADER_BYTES = 12
_OPT_BYTES = 11
_OPT_TYPE = 41


def question_end(query: bytes) -> int:
    """The offset of the end of the first question; beyond the message, or inside it, when that is incomplete."""
    offset = HEADER_BYTES
    while offset < len(query) and query[offset]:
        offset += query[offset] + 1
    return offset + 5


def servfail(query: bytes) -> bytes | None:
    """A SERVFAIL response; None where the query has not exactly one complete question. Costs next to nothing."""
    end = question_end(query)
    if query[4:6] != b"\0\1" or end > len(query):
        return None
    flags = bytes((query[2] & 0x79 | 0x80, 0x82))  # an answer to this kind of query; recursion is available; SERVFAIL
    return query[:2] + flags + b"\0\1\0\0\0\0\0\0" + query[HEADER_BYTES:end]


def without_options(query: bytes) -> bytes:
    """The query without the options of its OPT record, such as cookies: our answers do not depend on them.

    A query that is not one question followed by one OPT record is returned unchanged.
    """
    if query[4:HEADER_BYTES] != b"\0\1\0\0\0\0\0\1":
        return query
    start = question_end(query)
    length = int.from_bytes(query[start + 9 : start + _OPT_BYTES], "big")
    whole = length and start + _OPT_BYTES + length == len(query)
    if not whole or query[start : start + 3] != bytes((0, 0, _OPT_TYPE)):
        return query
    return query[: start + 9] + b"\0\0"
