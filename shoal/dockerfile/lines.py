"""Lines of a Dockerfile: parser directives, comments, continuations, heredocs. Pure.

Dockerfile reference, "Parser directives", "Format", "Here-documents".
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from shoal.dockerfile.heredocs import HEREDOC_INSTRUCTIONS, Heredoc, HeredocMark, heredoc_marks
from shoal.dockerfile.source import FaultList, Location

MAX_BYTES = 4 << 20
"""Of a Dockerfile."""

MAX_LINES = 50_000

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_DIRECTIVES = ("syntax", "escape", "check")
_ESCAPES = ("\\", "`")
_BLANKS = " \t\v\f\r"


class Directives(NamedTuple):
    """Parser directives.

    Attributes:
        escape: the escape character.
        syntax: the frontend image that is asked for; empty if none is.
        check: options of build checks; empty if there are none.
        syntax_line: the line that `syntax` stands in.
    """

    escape: str = "\\"
    syntax: str = ""
    check: str = ""
    syntax_line: int = 1


class LogicalLine(NamedTuple):
    """One instruction, its continuations joined.

    Attributes:
        text: without comments and escaped line ends.
        original: the lines as they are in the file.
        comments: those right above it, without their marks.
        has_empty_continuation: an empty line stands within it, which is deprecated.
    """

    text: str
    location: Location
    heredocs: tuple[Heredoc, ...] = ()
    original: str = ""
    comments: tuple[str, ...] = ()
    has_empty_continuation: bool = False


def read_directives(text: str, faults: FaultList) -> Directives:
    """The directives at the top of a file: they end with the first line that is none."""
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, (name, value) in enumerate(_directives(text), 1):
        if name in found:
            faults.add(Location(number, number), f"only one {name} parser directive can be used")
        elif name == "escape" and value not in _ESCAPES:
            faults.add(Location(number, number), f"invalid escape token {value!r}: must be a backslash or a backtick")
        else:
            found[name], lines[name] = value, number
    return Directives(**found, syntax_line=lines.get("syntax", 1))


def _directives(text: str) -> Iterator[tuple[str, str]]:
    """Names and values of the lines at the top that are directives."""
    for line in text.removeprefix("\ufeff").split("\n"):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None or match[1].lower() not in _DIRECTIVES:
            return
        yield match[1].lower(), match[2]


def read_lines(text: str, escape: str, faults: FaultList) -> Iterator[LogicalLine]:
    """The instructions of a file, one at a time."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES or text.count("\n") >= MAX_LINES:
        faults.add(Location(1, 1), f"the file is too large; the maximum is {MAX_BYTES} bytes and {MAX_LINES} lines")
        return
    yield from _Reader(text.removeprefix("\ufeff"), escape, faults).read(sum(1 for _ in _directives(text)))


def split_instruction(text: str) -> tuple[str, str]:
    """The instruction in lower case, and what follows it; both empty if there is none."""
    instruction, *rest = text.strip(_BLANKS).split(None, 1) or [""]
    return instruction.lower(), rest[0] if rest else ""


class _Reader:
    def __init__(self, text: str, escape: str, faults: FaultList) -> None:
        self._lines = text.split("\n")
        self._at = 0
        self._escape = escape
        self._faults = faults
        quoted = re.escape(escape)
        # An escape character that is escaped itself does not continue the line.
        self._continuation = re.compile(rf"(?:(?<=[^{quoted}])|^){quoted}[ \t]*$")

    def read(self, directives: int) -> Iterator[LogicalLine]:
        """The instructions after the directives, which are comments of none of them."""
        self._at = directives
        comments: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at].strip(_BLANKS)
            if line.startswith("#"):
                comments.append(line[1:].strip())
                self._at += 1
            elif not line:
                comments.clear()
                self._at += 1
            else:
                read = self._read_one(tuple(comments))
                comments.clear()
                if read.text:
                    yield read

    def _read_one(self, comments: tuple[str, ...]) -> LogicalLine:
        start = self._at
        text, has_empty = self._join()
        heredocs = tuple(self._heredoc(mark, start) for mark in self._marks(text))
        original = "\n".join(self._lines[start : self._at])
        return LogicalLine(text, Location(start + 1, self._at), heredocs, original, comments, has_empty)

    def _join(self) -> tuple[str, bool]:
        parts: list[str] = []
        has_empty, continues = False, True
        while continues and self._at < len(self._lines):
            line = self._lines[self._at].rstrip("\r")
            self._at += 1
            if parts and line.lstrip(_BLANKS).startswith("#"):
                continue
            if parts and not line.strip(_BLANKS):
                # A last line that is empty is the end of the file.
                has_empty = has_empty or self._at < len(self._lines)
                continue
            match = self._continuation.search(line)
            parts.append(line[: match.start()] if match else line)
            continues = match is not None
        return "".join(parts).strip(_BLANKS), has_empty

    def _marks(self, text: str) -> tuple[HeredocMark, ...]:
        instruction, rest = split_instruction(text)
        if instruction == "onbuild":
            instruction, rest = split_instruction(rest)
        if instruction not in HEREDOC_INSTRUCTIONS or "<<" not in rest:
            return ()
        return heredoc_marks(rest, self._escape)

    def _heredoc(self, mark: HeredocMark, start: int) -> Heredoc:
        content: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            plain = line.rstrip("\r")
            if (plain.lstrip("\t") if mark.strips_tabs else plain) == mark.name:
                return Heredoc(mark.name, "".join(content), mark.expands, mark.strips_tabs, mark.descriptor)
            content.append(line + "\n")
        self._faults.add(Location(start + 1, len(self._lines)), f"unterminated heredoc {mark.name!r}")
        return Heredoc(mark.name, "".join(content), mark.expands, mark.strips_tabs, mark.descriptor)
