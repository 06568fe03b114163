"""Here-documents in RUN, COPY and ADD. Pure. Dockerfile reference, "Here-documents"."""

import re
from typing import NamedTuple

from shoal.dockerfile.shell_words import LexerOptions, expand
from shoal.errors import InvalidInput

HEREDOC_INSTRUCTIONS = frozenset({"add", "copy", "run"})

_MARK = re.compile(r"(\d*)<<(-?)([^<]+)", re.ASCII)
_TABS = re.compile(r"^\t+", re.MULTILINE)
_MAX_DESCRIPTOR_DIGITS = 4


class HeredocMark(NamedTuple):
    """`<<-EOF` in an instruction.

    Attributes:
        name: the line that ends it.
        expands: variables are replaced: no part of the name is quoted.
        strips_tabs: tabs at the beginning of its lines are removed.
        descriptor: the file descriptor that it is given as; 0 by default.
    """

    name: str
    expands: bool
    strips_tabs: bool
    descriptor: int


class Heredoc(NamedTuple):
    """A here-document with its content as it is in the file; the other fields are those of its mark."""

    name: str
    content: str
    expands: bool
    strips_tabs: bool
    descriptor: int

    @property
    def text(self) -> str:
        """The content without the tabs that are not part of it."""
        return _TABS.sub("", self.content) if self.strips_tabs else self.content


def heredoc_marks(text: str, escape: str) -> tuple[HeredocMark, ...]:
    """All here-documents that an instruction begins, in their order; none in one whose quotes do not match."""
    options = LexerOptions(escape, keep_quotes=True, keep_escapes=True, keep_unset=True)
    try:
        words = expand(text, {}, options).words
    except InvalidInput:
        return ()
    return tuple(mark for word in words if (mark := parse_heredoc(word)) is not None)


def parse_heredoc(word: str) -> HeredocMark | None:
    """The here-document that a word is; None if it is none."""
    match = _MARK.fullmatch(word)
    if match is None or len(match[1]) > _MAX_DESCRIPTOR_DIGITS:
        return None
    try:
        plain = expand(match[3], {}, LexerOptions(keep_unset=True)).words
        quoted = expand(match[3], {}, LexerOptions(keep_unset=True, keep_quotes=True, keep_escapes=True)).words
    except InvalidInput:
        return None
    if len(plain) != 1:
        return None
    return HeredocMark(plain[0], plain == quoted, bool(match[2]), int(match[1] or 0))
