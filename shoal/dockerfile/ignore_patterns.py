"""Patterns of .dockerignore and `--exclude`. Pure. moby/patternmatcher; Dockerfile reference, ".dockerignore file".

A path is matched in time proportional to its length times that of the pattern, whatever the pattern is.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence

from shoal.errors import Fault, InvalidInput

MAX_PATTERNS = 10_000
MAX_PATTERN_LENGTH = 4_096
_SIMPLE_STARS = 2
"""A regular expression with more wildcards than these may take very long."""


def read_patterns(text: str) -> tuple[str, ...]:
    """The patterns of a .dockerignore file: comments and blank lines are left out, paths are clean and relative."""
    patterns: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines()):
        if line.startswith("#") or not line.strip():
            continue
        if number > MAX_PATTERNS:
            raise InvalidInput(f"the file has more than {MAX_PATTERNS} lines")
        pattern = line.strip()
        negated = pattern.startswith("!")
        pattern = _clean(pattern[1:].strip() if negated else pattern)
        patterns.append(f"!{pattern}" if negated else pattern)
    return tuple(patterns)


def _clean(pattern: str) -> str:
    if not pattern:
        return ""
    clean = posixpath.normpath(pattern)
    return clean.lstrip("/") or "/" if clean.startswith("/") else clean


class PatternMatcher:
    """Which paths are left out. The last pattern that matches a path, or a directory above it, decides.

    Args:
        patterns: as `read_patterns` gives them; one with `!` takes paths back in.

    Raises:
        InvalidInput: with every pattern that is none.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns: list[_Pattern] = []
        faults: list[Fault] = []
        for pattern in patterns:
            try:
                self._patterns.append(_Pattern(pattern))
            except InvalidInput as error:
                faults.append(Fault("", str(error)))
        if faults:
            raise InvalidInput(faults)

    @property
    def has_exceptions(self) -> bool:
        """Whether a directory that is left out may have paths that are not."""
        return any(pattern.negated for pattern in self._patterns)

    def excludes(self, path: str) -> bool:
        """Whether a path is left out.

        Args:
            path: relative to the context, clean, with slashes.
        """
        excluded = False
        paths = (path, *_parents(path))
        for pattern in self._patterns:
            if pattern.negated == excluded and any(map(pattern.matches, paths)):
                excluded = not pattern.negated
        return excluded


class _Pattern:
    def __init__(self, text: str) -> None:
        self.negated = text.startswith("!")
        body = text[1:] if self.negated else text
        if not body:
            raise InvalidInput(f'illegal exclusion pattern: "{text}"')
        if len(body) > MAX_PATTERN_LENGTH:
            raise InvalidInput(f"a pattern has {len(body)} characters; the maximum is {MAX_PATTERN_LENGTH}")
        self._tokens = tuple(_tokens(body))
        stars = sum(token in (_STAR, _ANY, _ANY_DIRECTORIES) for token in self._tokens)
        try:
            self._expression = re.compile("".join(self._tokens), re.DOTALL)
            self._steps = tuple(map(_step, self._tokens)) if stars > _SIMPLE_STARS else ()
        except re.error as error:
            raise InvalidInput(f"syntax error in pattern {body[:80]!r}") from error

    def matches(self, path: str) -> bool:
        return self._simulate(path) if self._steps else self._expression.fullmatch(path) is not None

    def _simulate(self, path: str) -> bool:
        """All positions in the pattern at once (Thompson's construction)."""
        positions = self._closure({0})
        for character in path:
            positions = self._closure(set(self._advance(positions, character)))
            if not positions:
                return False
        return len(self._tokens) in positions

    def _advance(self, positions: set[int], character: str) -> Iterator[int]:
        """Inside of a token for directories, which ends after a slash only, a position is `-1 - position`."""
        for place in positions:
            position = place if place >= 0 else -1 - place
            if position == len(self._tokens):
                continue
            token = self._tokens[position]
            if token == _ANY_DIRECTORIES:
                yield -1 - position
                if character == "/":
                    yield position + 1
            elif token in (_STAR, _ANY):
                if token == _ANY or character != "/":
                    yield position
            elif (step := self._steps[position]) is not None and step.fullmatch(character):
                yield position + 1

    def _closure(self, positions: set[int]) -> set[int]:
        return positions | {end for start in positions for end in self._skippable(start)}

    def _skippable(self, position: int) -> Iterator[int]:
        while 0 <= position < len(self._tokens) and self._tokens[position] in (_STAR, _ANY, _ANY_DIRECTORIES):
            position += 1
            yield position


_STAR, _ANY, _ANY_DIRECTORIES, _ONE = "[^/]*", ".*", "(?:.*/)?", "[^/]"


def _tokens(pattern: str) -> Iterator[str]:
    """Regular expressions for each part of a pattern."""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if pattern[at : at + 1] != "*":
                yield _STAR
                continue
            at += 2 if pattern[at + 1 : at + 2] == "/" else 1
            yield _ANY_DIRECTORIES if at < len(pattern) else _ANY
        elif character == "?":
            yield _ONE
        elif character == "[":
            end = _class_end(pattern, at)
            yield _character_class(pattern[at:end])
            at = end + 1
        elif character == "\\":
            yield re.escape(pattern[at : at + 1])
            at += 1
        else:
            yield re.escape(character)


def _class_end(pattern: str, start: int) -> int:
    """Where the `]` of a character class is."""
    at = start + (pattern[start : start + 1] == "^")
    while at < len(pattern):
        if pattern[at] == "]" and at > start:
            return at
        at += 2 if pattern[at] == "\\" else 1
    raise InvalidInput(f"syntax error in pattern {pattern[:80]!r}: a bracket is not closed")


def _character_class(body: str) -> str:
    """Characters and ranges of them, with every other meaning taken from them."""
    negation = "^" if body.startswith("^") else ""
    characters = iter(body.removeprefix("^"))
    members = [(each == "\\", next(characters, "") if each == "\\" else each) for each in characters]
    parts: list[str] = []
    while members:
        _, first = members.pop(0)
        parts.append(re.escape(first))
        if len(members) > 1 and members[0] == (False, "-"):
            parts.append(f"-{re.escape(members[1][1])}")
            del members[:2]
    return f"[{negation}{''.join(parts)}]"


def _step(token: str) -> re.Pattern[str] | None:
    return None if token in (_STAR, _ANY, _ANY_DIRECTORIES) else re.compile(token, re.DOTALL)


def _parents(path: str) -> Iterator[str]:
    while (path := posixpath.dirname(path)) not in ("", "/"):
        yield path
