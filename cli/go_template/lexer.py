"""A template as tokens: text between actions, and the words of each action (Go, text/template/parse/lex.go)."""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from cli.go_template.template_limits import TEMPLATE_CHARACTERS
from shoal.errors import InvalidInput

_TOKEN = re.compile(
    r"""
      (?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
    | (?P<char>'(?:\\.|[^'\\\n])+')
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
        |(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))
    | (?P<field>\.[^\W\d]\w*)
    | (?P<variable>\$\w*)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>:=|[=|(),.])
    """,
    re.VERBOSE,
)
_OPEN = re.compile(r"\{\{(-(?=[ \t\r\n]))?")
_CLOSE = re.compile(r"(?P<trim>[ \t\r\n]+-)?\}\}")
_SPACE = re.compile(r"[ \t\r\n]+")
_COMMENT = re.compile(r"[ \t\r\n]*/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class TemplateToken:
    """A piece of a template.

    Attributes:
        kind: text, open, close, string, char, number, field, variable, word or sign.
        at: where it begins, characters.
        glued: no space stands before it: `.A.B` is one operand, `.A .B` are two.
    """

    kind: str
    text: str
    at: int
    glued: bool = False


def tokens(template: str) -> Iterator[TemplateToken]:
    """The tokens, in order; texts are trimmed already where an action says so (`{{-`, `-}}`).

    Raises:
        InvalidInput: it is too long, or has something that is no token.
    """
    if len(template) > TEMPLATE_CHARACTERS:
        raise InvalidInput(f"the template is too long; the maximum is {TEMPLATE_CHARACTERS:,} characters")
    at, trim = 0, False
    while True:
        opening = _OPEN.search(template, at)
        text = template[at : opening.start() if opening else len(template)]
        text = text.lstrip(" \t\r\n") if trim else text
        text = text.rstrip(" \t\r\n") if opening and opening[1] else text
        if text:
            yield TemplateToken("text", text, at)
        if opening is None:
            return
        at, trim = yield from _action(template, opening.start(), opening.end())


def _action(template: str, start: int, at: int) -> Generator[TemplateToken, None, tuple[int, bool]]:
    """One action's tokens. Returns where it ends, and whether the text after it is trimmed."""
    if comment := _COMMENT.match(template, at):
        at = comment.end()
        if not (closing := _CLOSE.match(template, at)):
            raise InvalidInput(f"unclosed comment at character {start + 1}")
        return closing.end(), bool(closing["trim"])
    yield TemplateToken("open", "{{", start)
    glued = False
    while not (closing := _CLOSE.match(template, at)):
        if space := _SPACE.match(template, at):
            at, glued = space.end(), False
            continue
        token = _TOKEN.match(template, at)
        if token is None:
            raise InvalidInput(_lex_error(template, start, at))
        yield TemplateToken(token.lastgroup or "", token[0], at, glued)
        at, glued = token.end(), True
    yield TemplateToken("close", "}}", at)
    return closing.end(), bool(closing["trim"])


def _lex_error(template: str, start: int, at: int) -> str:
    if at >= len(template):
        return f"unclosed action at character {start + 1}; add }}}}"
    if template[at] in "\"'`":
        return f"unterminated quote at character {at + 1}"
    return f"unexpected {template[at]!r} at character {at + 1}"
