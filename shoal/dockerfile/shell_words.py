"""Words of a shell as Dockerfiles have them: quotes, escapes and `${variable:-default}`. Pure.

Dockerfile reference, "Environment replacement". Command substitution and globs do not exist.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from shoal.errors import InvalidInput

MAX_EXPANDED = 1 << 20
"""Characters of one expanded word: variables that hold each other would otherwise double without a bound."""

MAX_DEPTH = 50
"""Of `${a:-${b:-…}}`."""

# Characters that mean nothing, whatever the escape character is; within braces a slash or a brace may end a word.
_PLAIN = re.compile(r"[^\s$'\"\\`]+")
_PLAIN_IN_BRACES = re.compile(r"[^\s$'\"\\`}/]+")
_SPECIAL_NAMES = frozenset("@*#?-$!0")
_END = ""


class LexerOptions(NamedTuple):
    """How words are read.

    Attributes:
        escape: the escape character: a backslash or a backtick.
        keep_quotes: quotes stay in the words.
        keep_escapes: escape characters stay in the words.
        keep_unset: a variable without a value stays as it is written.
    plain_quotes: quotes are characters like any other, as in here-documents.
    """

    escape: str = "\\"
    keep_quotes: bool = False
    keep_escapes: bool = False
    keep_unset: bool = False
    plain_quotes: bool = False


class Expansion(NamedTuple):
    """A text after its variables were replaced.

    Attributes:
        text: the whole as one word.
        words: split at blanks that are not quoted; those of a variable's value split too.
        unset: names that were asked for and have no value.
    """

    text: str
    words: tuple[str, ...]
    unset: frozenset[str]


DEFAULT_OPTIONS = LexerOptions()


def expand(text: str, variables: Mapping[str, str], options: LexerOptions = DEFAULT_OPTIONS) -> Expansion:
    """Replace variables, and remove quotes and escapes.

    Raises:
        InvalidInput: a quote or a brace is not closed, a modifier is unknown, a variable that must be set is not.
    """
    lexer = _Lexer(text, variables, options)
    whole = lexer.read_until(_END, keep_escapes=options.keep_escapes)
    return Expansion(whole, lexer.words.finish(), frozenset(lexer.unset))


def expand_word(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """The text as one word. Raises InvalidInput: see `expand`."""
    return expand(text, variables, LexerOptions(escape)).text


class _Words:
    """Collects words: blanks end one unless they are quoted."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._current: list[str] = []
        self._open = False

    def add(self, text: str) -> None:
        for character in text:
            if character.isspace():
                self._end()
            else:
                self.add_quoted(character)

    def add_quoted(self, text: str) -> None:
        self._current.append(text)
        self._open = True

    def finish(self) -> tuple[str, ...]:
        self._end()
        return tuple(self._words)

    def _end(self) -> None:
        if self._open:
            self._words.append("".join(self._current))
            self._current.clear()
            self._open = False


class _Lexer:
    def __init__(self, text: str, variables: Mapping[str, str], options: LexerOptions) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._options = options
        self._length = 0
        self._depth = 0
        self.words = _Words()
        self.unset: set[str] = set()

    def read_until(self, stop: str, *, keep_escapes: bool) -> str:
        """Up to the character `stop`, which is consumed; up to the end if it is empty."""
        parts: list[str] = []
        plain = _PLAIN_IN_BRACES if stop else _PLAIN
        while (character := self._peek()) != _END:
            if (run := plain.match(self._text, self._at)) is not None:
                self._at = run.end()
                self.words.add_quoted(run[0])
                parts.append(self._count(run[0]))
                continue
            if character == stop:
                self._at += 1
                return "".join(parts)
            parts.append(self._count(self._read_part(character, keep_escapes)))
        if stop:
            raise InvalidInput(f'unexpected end of statement while looking for matching "{stop}"')
        return "".join(parts)

    def _read_part(self, character: str, keep_escapes: bool) -> str:
        if character == "$":
            value = self._variable()
            self.words.add(value)
            return value
        if character in "'\"" and not self._options.plain_quotes:
            value = self._single_quoted() if character == "'" else self._double_quoted()
            self.words.add_quoted(value)
            return value
        self._at += 1
        if character != self._options.escape:
            self.words.add(character)
            return character
        escaped = self._next()
        value = character + escaped if keep_escapes else escaped
        if value:
            self.words.add_quoted(value)
        return value

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise InvalidInput("unexpected end of statement while looking for matching single-quote")
        inside, self._at = self._text[self._at + 1 : end], end + 1
        return f"'{inside}'" if self._options.keep_quotes else inside

    def _double_quoted(self) -> str:
        self._at += 1
        parts: list[str] = []
        while (character := self._peek()) != '"':
            if character == _END:
                raise InvalidInput("unexpected end of statement while looking for matching double-quote")
            parts.append(self._count(self._variable() if character == "$" else self._quoted_character()))
        self._at += 1
        inside = "".join(parts)
        return f'"{inside}"' if self._options.keep_quotes else inside

    def _quoted_character(self) -> str:
        """Within double quotes an escape character escapes `"`, `$` and itself only."""
        escape = self._options.escape
        character = self._next()
        if character != escape:
            return character
        if self._peek() not in ('"', "$", escape) or self._peek() == _END:
            return character
        return character + self._next() if self._options.keep_escapes else self._next()

    def _variable(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return self._value(name, f"${name}") if name else "$"
        self._at += 1
        name = self._name()
        modifier = self._next()
        if modifier == "}":
            if not name:
                raise InvalidInput("syntax error: a name is missing in ${}")
            return self._value(name, f"${{{name}}}")
        if modifier == _END:
            raise InvalidInput("syntax error: missing '}'")
        if not name:
            raise InvalidInput(f"unsupported modifier ({modifier}) in substitution: a name is missing")
        return self._modified(name, modifier)

    def _modified(self, name: str, modifier: str) -> str:
        with_colon = modifier == ":"
        kind = self._next() if with_colon else modifier
        value = self._variables.get(name)
        is_set = bool(value) if with_colon else value is not None
        if kind in ("-", "+", "?") and kind:
            return self._defaulted(name, kind, value or "", is_set)
        if not with_colon and kind in ("#", "%"):
            return self._trimmed(name, kind)
        if not with_colon and kind == "/":
            return self._replaced(name)
        raise InvalidInput(f"unsupported modifier ({modifier}{kind if with_colon else ''}) in substitution")

    def _defaulted(self, name: str, kind: str, value: str, is_set: bool) -> str:
        word = self._inside("}", keep_escapes=False)
        if kind == "+":
            return word if is_set else ""
        if kind == "-":
            return value if is_set else word
        if is_set:
            return value
        raise InvalidInput(f"{name}: {word or 'not allowed to be unset'}")

    def _trimmed(self, name: str, kind: str) -> str:
        longest = self._peek() == kind
        self._at += longest
        pattern = self._inside("}", keep_escapes=True)
        value = self._value(name, "")
        trim = trim_prefix if kind == "#" else trim_suffix
        return trim(value, pattern, longest=longest, escape=self._options.escape)

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self._at += every
        pattern = self._inside("/", keep_escapes=True)
        replacement = self._inside("}", keep_escapes=False)
        expression = shell_pattern(pattern, longest=True, escape=self._options.escape)
        constant: Callable[[re.Match[str]], str] = lambda _match: replacement  # noqa: E731
        return re.sub(expression, constant, self._value(name, ""), count=0 if every else 1, flags=re.DOTALL)

    def _inside(self, stop: str, *, keep_escapes: bool) -> str:
        """A word within braces; its blanks do not end words of the text."""
        if self._depth == MAX_DEPTH:
            raise InvalidInput(f"substitutions stand within each other too deeply; the maximum is {MAX_DEPTH}")
        words, self.words = self.words, _Words()
        self._depth += 1
        try:
            return self.read_until(stop, keep_escapes=keep_escapes)
        finally:
            self.words = words
            self._depth -= 1

    def _value(self, name: str, written: str) -> str:
        value = self._variables.get(name)
        if value is not None:
            return value
        self.unset.add(name)
        return written if self._options.keep_unset else ""

    def _name(self) -> str:
        """A name, a position (`$12`) or one special character; empty if there is none."""
        start = self._at
        first = self._peek()
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif first and first in _SPECIAL_NAMES:
            self._at += 1
        else:
            while (character := self._peek()) and (character.isalnum() or character == "_"):
                self._at += 1
        return self._text[start : self._at]

    def _count(self, part: str) -> str:
        self._length += len(part)
        if self._length > MAX_EXPANDED:
            raise InvalidInput(f"the text has more than {MAX_EXPANDED} characters once its variables are replaced")
        return part

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else _END

    def _next(self) -> str:
        character = self._peek()
        self._at += len(character)
        return character


def shell_pattern(pattern: str, *, longest: bool, escape: str = "\\") -> str:
    """A regular expression for a shell pattern: `*` and `?`; an escape character takes away the meaning of the next."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            parts.append(".*" if longest else ".*?")
        elif character == "?":
            parts.append(".")
        elif character == escape:
            parts.append(re.escape(next(characters, escape)))
        else:
            parts.append(re.escape(character))
    return "".join(parts)


def trim_prefix(value: str, pattern: str, *, longest: bool, escape: str = "\\") -> str:
    """`${value#pattern}`, or `##` for the longest one."""
    match = re.match(shell_pattern(pattern, longest=longest, escape=escape), value, re.DOTALL)
    return value[match.end() :] if match else value


def trim_suffix(value: str, pattern: str, *, longest: bool, escape: str = "\\") -> str:
    """`${value%pattern}`, or `%%` for the longest one."""
    expression = re.compile(shell_pattern(pattern, longest=True, escape=escape), re.DOTALL)
    starts = range(len(value) + 1) if longest else range(len(value), -1, -1)
    return next((value[:start] for start in starts if expression.fullmatch(value, start)), value)
