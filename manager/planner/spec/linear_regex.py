"""Regular expressions whose matching takes time in proportion to the text, whatever the pattern: no backtracking.

Python's own `re` takes exponential time on some patterns, and the planner runs in the manager's event loop. This is
Thompson's construction (Communications of the ACM 11, 1968; Russ Cox, "Regular Expression Matching Can Be Simple And
Fast"): all states that a text can lead to are followed at once.

Supported: literals, `.`, `[abc] [a-z] [^x]`, `\\d \\w \\s \\D \\W \\S`, escapes, `( )`, `|`, `* + ?`, `{m} {m,} {m,n}`,
and `^ $` at the ends, for the pattern as a whole. One without anchors matches anywhere in the text.
"""

import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shoal.errors import InvalidInput

MAX_PATTERN_LENGTH = 256
MAX_STATES = 2_000
_MAX_DEPTH = 20
_CACHE_SIZE = 20_000

Test = Callable[[str], bool]

_DIGITS = frozenset(string.digits)
_WORD = frozenset(string.ascii_letters + string.digits + "_")
_SPACE = frozenset(string.whitespace)
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_META = frozenset("()|*+?{}[].^$\\")


@dataclass(frozen=True)
class _State:
    """A test that consumes one character, or None with transitions that consume nothing."""

    test: Test | None
    next_states: tuple[int, ...]


class Pattern:
    """A compiled pattern.

    Raises:
        InvalidInput: it is invalid, or too long.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN_LENGTH:
            raise InvalidInput(f"pattern too long ({len(text)} characters); the maximum is {MAX_PATTERN_LENGTH}")
        starts, ends = text.startswith("^"), text.endswith("$") and not text.endswith("\\$")
        self._at_start, self._at_end = starts, ends
        compiler = _Compiler(text[1 if starts else 0 : len(text) - 1 if ends else len(text)])
        self._states, self._first = compiler.compile()
        # A cluster has few values of a label, and they are matched again and again.
        self._cache: dict[str, bool] = {}

    def matches(self, text: str) -> bool:
        """Whether it is found in the text; between its anchors, if it has some."""
        known = self._cache.get(text)
        if known is None:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            known = self._cache[text] = self._run(text)
        return known

    def _run(self, text: str) -> bool:
        current = self._closure([self._first])
        for character in text:
            if 0 in current and not self._at_end:
                return True
            following: list[int] = []
            for number in current:
                test = self._states[number].test
                if test is not None and test(character):
                    following += self._states[number].next_states
            if not self._at_start:
                following.append(self._first)
            current = self._closure(following)
        return 0 in current

    def _closure(self, numbers: Iterable[int]) -> set[int]:
        found: set[int] = set()
        stack = list(numbers)
        while stack:
            number = stack.pop()
            if number not in found:
                found.add(number)
                if self._states[number].test is None:
                    stack += self._states[number].next_states
        return found


class _Compiler:
    """Recursive descent that yields, for each part, the state to enter it by, given the state that follows it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._states: list[_State] = [_State(None, ())]  # state 0 accepts

    def compile(self) -> tuple[list[_State], int]:
        part = self._alternatives()
        if self._at < len(self._text):
            raise self._error(f"unexpected {self._text[self._at]!r}")
        return self._states, part(0)

    def _add(self, test: Test | None, *onward: int) -> int:
        if len(self._states) >= MAX_STATES:
            raise InvalidInput(f"pattern {self._text!r} too large; use fewer repetitions")
        self._states.append(_State(test, onward))
        return len(self._states) - 1

    def _alternatives(self) -> Callable[[int], int]:
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        if len(parts) == 1:
            return parts[0]
        return lambda after: self._add(None, *(part(after) for part in parts))

    def _sequence(self) -> Callable[[int], int]:
        parts: list[Callable[[int], int]] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))

        def enter(after: int) -> int:
            for part in reversed(parts):
                after = part(after)
            return after

        return enter

    def _repeated(self, atom: Callable[[int], int]) -> Callable[[int], int]:
        while (sign := self._peek()) in ("*", "+", "?", "{") and sign:
            self._at += 1
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign) or self._bounds()
            atom = self._times(atom, least, most)
        return atom

    def _times(self, atom: Callable[[int], int], least: int, most: int | None) -> Callable[[int], int]:
        def enter(after: int) -> int:
            if most is None:
                loop = self._add(None)
                self._states[loop] = _State(None, (atom(loop), after))
                after = loop
            for _ in range(most - least if most is not None else 0):
                after = self._add(None, atom(after), after)
            for _ in range(least):
                after = self._add(None, atom(after))  # a state even around nothing, so that the bound counts it
            return after

        return enter

    def _bounds(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at : end].partition(",") if end >= 0 else ("", "", "")
        if not low.isdigit() or (high and not high.isdigit()) or len(low) > 3 or len(high) > 3:
            raise self._error("a repetition must be in the form {m}, {m,} or {m,n}; the maximum is 999")
        self._at = end + 1
        least, most = int(low), int(high) if high else None if comma else int(low)
        if most is not None and most < least:
            raise self._error(f"the minimum of {{{low},{high}}} is greater than its maximum")
        return least, most

    def _atom(self) -> Callable[[int], int]:
        sign = self._next()
        if sign == "(":
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise self._error(f"groups nested too deep; the maximum is {_MAX_DEPTH}")
            if self._text.startswith("?", self._at):
                raise self._error("groups with '?' are not supported")
            inner = self._alternatives()
            if self._peek() != ")":
                raise self._error("missing ')'")
            self._at += 1
            self._depth -= 1
            return inner
        test = self._test(sign)
        return lambda after: self._add(test, after)

    def _test(self, sign: str) -> Test:
        if sign == ".":
            return lambda _: True
        if sign == "[":
            return self._set()
        if sign == "\\":
            return self._escape(self._next())
        if sign in _META:
            raise self._error(f"unexpected {sign!r}; use \\{sign} for the character itself")
        return sign.__eq__

    def _escape(self, sign: str) -> Test:
        if sign in _CLASSES:
            return _CLASSES[sign].__contains__
        if sign.lower() in _CLASSES:
            excluded = _CLASSES[sign.lower()]
            return lambda character: character not in excluded
        if sign and not sign.isalnum():
            return sign.__eq__
        raise self._error(f"unknown escape \\{sign}")

    def _set(self) -> Test:
        inverted = self._peek() == "^"
        self._at += inverted
        tests: list[Test] = []
        while not tests or self._peek() != "]":
            tests.append(self._member())
        self._at += 1
        return lambda character: any(test(character) for test in tests) != inverted

    def _member(self) -> Test:
        sign = self._next()
        if sign == "\\":
            return self._escape(self._next())
        if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
            self._at += 1
            last = self._next()
            if last < sign:
                raise self._error(f"the range {sign}-{last} is reversed")
            return lambda character: sign <= character <= last
        return sign.__eq__

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        sign = self._peek()
        if not sign:
            raise self._error("unexpected end")
        self._at += 1
        return sign

    def _error(self, why: str) -> InvalidInput:
        return InvalidInput(f"invalid pattern {self._text!r}: {why}")
