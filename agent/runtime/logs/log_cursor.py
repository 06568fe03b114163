"""A position in a log that stays valid while files are created, deleted and renamed, without keeping any open."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.runtime.logs.log_files import LogFile, readable_log_files
from shoal.logs.log_lines import MAX_LINE_BYTES

_BLOCK = 64 << 10
_SLACK_NS = 10**9
"""Tolerance between the clocks of lines and of files."""


@dataclass(frozen=True)
class LogLines:
    """Whole lines of one log.

    Attributes:
        lost: lines before these are missing: they were written faster than the agent, or this reader, could follow.
    """

    data: bytes
    lost: bool = False


class LogCursor:
    """Created by `at`.

    Args:
        piece: None: at the beginning of the log.
    """

    def __init__(self, directory: Path, piece: LogFile | None, offset: int = 0) -> None:
        self._directory = directory
        self._piece = piece
        self._offset = offset
        self._lost = False

    @classmethod
    def at(cls, directory: Path, *, is_over: bool, tail: int | None = None, since_ns: int = 0) -> "LogCursor":
        """At the beginning, or before the last `tail` lines, without files that were last written before `since_ns`.

        Args:
            is_over: the log is not written any more.
        """
        left, place = tail, cls(directory, None)
        for piece in reversed(readable_log_files(directory, is_over=is_over)):
            try:
                with piece.path.open("rb", buffering=0) as file:
                    if os.fstat(file.fileno()).st_mtime_ns < since_ns - _SLACK_NS and place._piece is not None:
                        return place
                    offset = 0
                    if left is not None:
                        offset, found = _tail_offset(file.fileno(), left)
                        left -= found
            except FileNotFoundError:
                continue
            place = cls(directory, piece, offset)
            if left is not None and left <= 0:
                return place
        return place

    def read(self, size: int, *, is_over: bool) -> LogLines | None:
        """The next whole lines, up to `size` bytes or the longest line; None if there are none now."""
        while True:
            data = self._read_here(max(size, MAX_LINE_BYTES))
            if data and (end := data.rfind(b"\n") + 1):
                self._offset += end
                lost, self._lost = self._lost, False
                return LogLines(data[:end], lost)
            if data and len(data) >= MAX_LINE_BYTES:
                self._offset += len(data)  # data that is not a line is skipped
            elif not self._advance(is_gone=data is None, is_over=is_over):
                return None

    def _read_here(self, size: int) -> bytes | None:
        """Data from the current position on; None if the file is gone, or there is none yet."""
        if self._piece is None:
            return None
        try:
            with self._piece.path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), size, self._offset)
        except FileNotFoundError:
            return None

    def _advance(self, *, is_gone: bool, is_over: bool) -> bool:
        """Move to the next file, if there is one and this one is completely read."""
        last = self._piece.number if self._piece is not None else None
        found = readable_log_files(self._directory, is_over=is_over)
        following = next((piece for piece in found if last is None or piece.number > last), None)
        if following is None:
            return False
        if not is_gone and b"\n" in (self._read_here(MAX_LINE_BYTES) or b""):
            return True
        if last is not None and last > 0:
            self._lost = self._lost or is_gone or following.number > last + 1
        self._piece, self._offset = following, 0
        return True


def _tail_offset(descriptor: int, desired: int) -> tuple[int, int]:
    """Offset of the last `wanted` lines of a file, and how many of them it has."""
    end = os.fstat(descriptor).st_size
    if desired <= 0:
        return end, 0
    found, begin = 0, 0
    for offset, line in _lines_backwards(descriptor, end):
        if line.split(b" ", 3)[2:3] == [b"F"]:  # the last part of a line
            if found == desired:
                return begin, found
            found += 1
        begin = offset
    return begin, found


def _lines_backwards(descriptor: int, position: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines from the last to the first, with their offsets."""
    rest = b""
    while position:
        size = min(_BLOCK, position)
        position -= size
        block = os.pread(descriptor, size, position) + rest
        rest, *lines = block.split(b"\n")
        end = position + len(block)
        for line in reversed(lines):
            end -= len(line)
            if line:
                yield end, line
            end -= 1
    if rest:
        yield 0, rest
