"""Transport protocols by IANA's number, from the numbers of the API."""

from shoal.api.v1.service_pb2 import PublishedPort

PROTOCOL_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}

_NUMBERS = {
    PublishedPort.PROTOCOL_UNSPECIFIED: 6,
    PublishedPort.TCP: 6,
    PublishedPort.UDP: 17,
    PublishedPort.SCTP: 132,
}


def protocol_number(protocol: int) -> int:
    """6, 17 or 132, from a value of PublishedPort.Protocol."""
    return _NUMBERS[PublishedPort.Protocol.ValueType(protocol)]
