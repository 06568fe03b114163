"""The validity period of a certificate, read without `cryptography`, which costs 50 ms to import.

The command line asks this at each start. X.509, RFC 5280 section 4.1; DER, X.690 section 8.1.
"""

import binascii
from datetime import UTC, datetime

from shoal.errors import InvalidInput

_INTEGER, _SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x02, 0x30, 0x17, 0x18, 0xA0
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


def validity_period(pem: bytes) -> tuple[datetime, datetime]:
    """Beginning and end of the first certificate in these bytes, in UTC.

    Raises:
        InvalidInput: there is none, or it is damaged.
    """
    try:
        text = pem[pem.index(_BEGIN) + len(_BEGIN) : pem.index(_END)]
        _, certificate, _ = _element(binascii.a2b_base64(text))
        _, fields, _ = _element(certificate)
        tag, _, rest = _element(fields)
        if tag == _VERSION:
            tag, _, rest = _element(rest)
        if tag != _INTEGER:
            raise ValueError("no serial number")
        for _ in ("signature algorithm", "issuer"):
            _, _, rest = _element(rest)
        tag, period, _ = _element(rest)
        if tag != _SEQUENCE:
            raise ValueError("no validity")
        begin_tag, begin, rest = _element(period)
        end_tag, end, _ = _element(rest)
        return _time(begin_tag, begin), _time(end_tag, end)
    except (ValueError, IndexError):
        raise InvalidInput("not a PEM certificate") from None


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element's tag and contents, and what follows it."""
    tag, length, at = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[2 : 2 + size]), 2 + size
    if at + length > len(data):
        raise ValueError("an element ends too early")
    return tag, data[at : at + length], data[at + length :]


def _time(tag: int, text: bytes) -> datetime:
    if tag == _UTC_TIME:  # Two digits of the year: from 1950 to 2049 (RFC 5280 section 4.1.2.5.1).
        text = (b"19" if text[:2] >= b"50" else b"20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    if len(text) != len("YYYYMMDDhhmmssZ") or text[-1:] != b"Z":
        raise ValueError("no time of the form that certificates have")
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
    return datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC)
