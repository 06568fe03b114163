"""Frames of streams with several outputs: a head of 8 bytes (stream, zeros, length big-endian), then the data. Pure."""

from enum import IntEnum


class Output(IntEnum):
    """Whose data a frame has."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    SYSTEM_ERROR = 3


HEAD_BYTES = 8
EMPTY_FRAME = bytes((Output.STDOUT, 0, 0, 0, 0, 0, 0, 0))
"""Says nothing to the client that reads it."""


def frame(output: Output, data: bytes) -> bytes:
    """One frame. No data makes none."""
    if not data:
        return b""
    return bytes((output, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def split_frames(data: bytes) -> list[tuple[Output, bytes]]:
    """The frames of a whole stream; for tests and tools.

    Raises:
        ValueError: it ends within a frame, or an output is not known.
    """
    frames, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + HEAD_BYTES], "big")
        end = at + HEAD_BYTES + size
        if end > len(data):
            raise ValueError("the stream ends within a frame")
        frames.append((Output(data[at]), data[at + HEAD_BYTES : end]))
        at = end
    return frames
