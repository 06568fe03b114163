"""Stored lines of a log as `logs` answers them: in frames, or raw with a terminal. Pure.

A frame is a line, as with Docker, since clients take frames for lines. A line that was stored in pieces is one frame up
to `LINE_BYTES`. Hundreds of megabytes go through here, so most lines are cut and counted, and not parsed. The docker
command line does not look at frames, and needs far less time for large ones.
"""

import re
from collections.abc import Collection

from engine.protocol.frames import Output, frame
from engine.protocol.go_times import log_time_text
from shoal.logs.log_lines import HEADER_BYTES, STAMP_BYTES, parse_line

LINE_BYTES = 16 << 10
"""Docker's bound of one message of a log: longer lines are several frames."""

_SHORT_STAMP_BYTES = STAMP_BYTES - len("+00:00")
_UTC = b"+00:00"
_PLAIN = b" stdout F "
_PLAIN_HEAD = re.compile(rb"\n[^\n]{%d}%b" % (STAMP_BYTES, _PLAIN))
_PLAIN_PIECE = b" stdout P "
_NOT_PLAIN = b" stderr "
_KINDS = {
    _PLAIN: (Output.STDOUT, False),
    b" stdout P ": (Output.STDOUT, True),
    b" stderr F ": (Output.STDERR, False),
    b" stderr P ": (Output.STDERR, True),
}


class _Heads(dict[int, bytes]):
    """Heads of frames of standard output, by the size of the stored line."""

    def __missing__(self, size: int) -> bytes:
        head = bytes((Output.STDOUT, 0, 0, 0)) + (size - HEADER_BYTES + 1).to_bytes(4, "big")
        if len(self) < LINE_BYTES:
            self[size] = head
        return head


_HEADS = _Heads()


class LogFrames:
    """The lines of one program, in the order of its log.

    Args:
        terminal: lines are raw, not in frames.
        outputs: what the client gets; with a terminal everything.
        timestamps: before each line, with nine digits of the second.
        details: before each line, "a=b,c=d"; empty: none.
        large: frames may have many lines.
    """

    def __init__(
        self,
        *,
        terminal: bool,
        outputs: Collection[Output] = (Output.STDOUT, Output.STDERR),
        timestamps: bool = False,
        details: str = "",
        large: bool = False,
    ) -> None:
        self._terminal = terminal
        self._outputs = frozenset(outputs)
        self._timestamps = timestamps
        self._details = f"{details} ".encode() if details else b""
        self._held: dict[Output, list[bytes]] = {Output.STDOUT: [], Output.STDERR: []}
        self._continued = {Output.STDOUT: False, Output.STDERR: False}
        has_heads = timestamps or bool(details)
        self._plain = _PLAIN if Output.STDOUT in self._outputs and not terminal and not has_heads else None
        self._large = large and self._plain is not None

    def format(self, lines: bytes) -> bytes:
        """Whole stored lines, as the client gets them; pieces of a line are held back until the line is whole."""
        if self._large and _NOT_PLAIN not in lines and (text := _plain_text(lines)) is not None:
            return self.finish() + frame(Output.STDOUT, text)
        pieces: list[bytes] = []
        put, plain, held = pieces.append, self._plain, self._held[Output.STDOUT]
        for line in lines.split(b"\n"):
            if line[STAMP_BYTES:HEADER_BYTES] == plain and not held and not self._continued[Output.STDOUT]:
                put(_HEADS[len(line)])
                put(line[HEADER_BYTES:])
                put(b"\n")
            elif line:
                put(self._format_line(line))
        return b"".join(pieces)

    def finish(self) -> bytes:
        """What is held back at the end of the log."""
        return b"".join(self._release(output) for output in self._held)

    def _format_line(self, line: bytes) -> bytes:
        kind = _KINDS.get(line[STAMP_BYTES:HEADER_BYTES])
        if kind is None:  # no line: a torn write before a crash of the host
            return b""
        output, is_partial = kind
        if output not in self._outputs and not self._terminal:
            return b""
        data = self._head(line, output) + line[HEADER_BYTES:] + (b"" if is_partial else b"\n")
        self._continued[output] = is_partial
        if self._terminal:
            return data
        self._held[output].append(data)
        if is_partial and sum(map(len, self._held[output])) < LINE_BYTES:
            return b""
        return self._release(output)

    def _release(self, output: Output) -> bytes:
        data = b"".join(self._held[output])
        self._held[output].clear()
        return frame(output, data)

    def _head(self, line: bytes, output: Output) -> bytes:
        """Before the first piece of a line."""
        if self._continued[output]:
            return b""
        return (_stamp(line) if self._timestamps else b"") + self._details


def _plain_text(lines: bytes) -> bytes | None:
    """What standard output has in these lines; None where there are others."""
    texts, begin, count = [], 0, 0
    at = lines.find(_PLAIN_PIECE)
    while at >= 0:
        head = max(lines.rfind(b"\n", begin, at) + 1, begin)
        if at - head != STAMP_BYTES:  # a line's text
            at = lines.find(_PLAIN_PIECE, at + 1)
            continue
        end = lines.find(b"\n", at)
        text, found = _without_heads(lines[begin:head])
        texts += [text, lines[head + HEADER_BYTES : end]]
        begin, count = end + 1, count + found + 1
        at = lines.find(_PLAIN_PIECE, begin)
    text, found = _without_heads(lines[begin:])
    ends = len(lines) - len(lines.replace(b"\n", b""))  # several times as fast as counting them
    return b"".join((*texts, text)) if count + found == ends else None


def _without_heads(lines: bytes) -> tuple[bytes, int]:
    """Whole lines, and of how many."""
    text, count = _PLAIN_HEAD.subn(b"\n", b"\n" + lines)
    return text[1:], count


def _stamp(line: bytes) -> bytes:
    if line[_SHORT_STAMP_BYTES:STAMP_BYTES] == _UTC:
        return line[:_SHORT_STAMP_BYTES] + b"Z "
    parsed = parse_line(line)
    return f"{log_time_text(parsed.time_ns)} ".encode() if parsed is not None else b""
