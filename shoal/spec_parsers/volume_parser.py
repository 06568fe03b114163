"""Parse access modes and secrets of CSI volumes."""

from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    MULTI_NODE_READER_ONLY,
    SINGLE_NODE_READER_ONLY,
    SINGLE_NODE_WRITER,
    AccessMode,
    VolumeSecret,
)
from shoal.errors import InvalidInput

ACCESS_MODES: dict[str, AccessMode.ValueType] = {
    "single-node-writer": SINGLE_NODE_WRITER,
    "single-node-reader-only": SINGLE_NODE_READER_ONLY,
    "multi-node-reader-only": MULTI_NODE_READER_ONLY,
    "multi-node-multi-writer": MULTI_NODE_MULTI_WRITER,
}


def parse_secret(text: str) -> VolumeSecret:
    """ "KEY=SECRET", as Docker has it.

    Raises:
        InvalidInput: it has another form.
    """
    key, _, source = text.partition("=")
    if not key or not source:
        raise InvalidInput(f"{text!r} must be in the form KEY=SECRET (driver key, secret name or ID)")
    return VolumeSecret(key=key, source=source)
