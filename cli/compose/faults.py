"""Gathering every fault and warning of the files, each with its place."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cli.compose.tree import YamlPath, dotted, where
from shoal.errors import Fault, InvalidInput

_WRONG = (InvalidInput, TypeError, ValueError, AttributeError, KeyError)
"""The schema admits forms that a conversion does not expect, such as null: told, never a traceback."""

_OUT_OF_RANGE = re.compile(r"[Oo]ut of range: (-?\d{1,40})")
"""What protobuf says of a number that its field cannot hold."""

R = TypeVar("R")


class Faults:
    """What is wrong, in the order in which it was found.

    Every stage judges the whole model, also what an earlier one has found fault with, so that all is told at once. What
    it says of the same part is not told: that follows from the fault before.
    """

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self.warnings: list[str] = []
        self._doubtful: list[YamlPath] = []
        self._earlier: tuple[YamlPath, ...] = ()

    def next_stage(self) -> None:
        """From now on, no more is told of what is at fault."""
        self._earlier = tuple(self._doubtful)

    def tell(self, path: YamlPath, fault: Fault) -> None:
        """Take a fault of what the path leads to, unless it only follows from one of an earlier stage."""
        if not self.covers(path):
            self.found.append(fault)
            self._doubtful.append(_scope(path))

    def covers(self, path: YamlPath) -> bool:
        """Whether an earlier stage has found fault with this, with a part of it, or with what it is a part of."""
        return any(path[: len(each)] == each or path == each[: len(path)] for each in self._earlier)

    def despite(self, path: YamlPath, action: Callable[[], R], otherwise: R) -> R:
        """What a stage makes of a part; with faults of earlier ones it may stumble, and no more is told of the part."""
        try:
            return action()
        except _WRONG:
            if not self._earlier:
                raise
            self._doubtful.append(path)
            return otherwise

    def settle(self) -> None:
        """Raises InvalidInput when there are any."""
        if self.found:
            raise InvalidInput(list(dict.fromkeys(self.found)))


def _scope(path: YamlPath) -> YamlPath:
    """What a fault makes doubtful: a service that cannot be extended, all of it; a file to include, everything."""
    if path[:1] == ("include",):
        return ()
    return path[:2] if path[2:3] == ("extends",) else path


class Report:
    """Takes the faults of one tree.

    Args:
        fallback: told as the place where the tree has none, such as the file's name.
    """

    def __init__(self, faults: Faults, tree: Any, fallback: str) -> None:
        self._faults = faults
        self._tree = tree
        self._fallback = fallback

    def add(self, path: YamlPath, message: str, *, about: YamlPath | None = None) -> None:
        """Something is wrong at a path of the tree.

        Args:
            about: what is wrong, where the path leads to what is around it.
        """
        self._faults.tell(about or path, Fault(self._at(path), message))

    def warn(self, path: YamlPath, message: str) -> None:
        """Something is odd there."""
        self._faults.warnings.append(f"{self._at(path)}: {message}")

    def despite(self, path: YamlPath, action: Callable[[], R], otherwise: R) -> R:
        """As that of the faults."""
        return self._faults.despite(path, action, otherwise)

    def attempt(self, path: YamlPath, action: Callable[[], None]) -> None:
        """Do it; what is wrong with the input is a fault at the path."""
        try:
            action()
        except _WRONG as error:
            self.add(path, _words(error))

    def attempt_section(self, path: YamlPath, value: Any, action: Callable[[Any], None]) -> None:
        """Do it with a mapping; every key in it that is wrong by itself is a fault of its own.

        Args:
            action: has no effect when it is done with a part that is wrong, or its effect does not count then.
        """
        try:
            action(value)
        except _WRONG:
            if not self._attempt_keys(path, value, action):
                self.attempt(path, lambda: action(value))

    def _attempt_keys(self, path: YamlPath, value: Any, action: Callable[[Any], None]) -> bool:
        """Whether any key of the mapping was at fault."""
        found = False
        for key, item in value.items() if isinstance(value, Mapping) else ():
            try:
                action({key: item})
            except _WRONG as error:
                found = True
                if not self._attempt_keys((*path, key), item, lambda part, key=key: action({key: part})):  # type: ignore[misc]
                    self.add((*path, key), _without(str(key), error))
        return found

    def _at(self, path: YamlPath) -> str:
        place = where(self._tree, path) if path else None
        text = str(place) if place is not None else self._fallback
        return f"{text}: {dotted(path)}" if path else text


def _words(error: Exception) -> str:
    if isinstance(error, InvalidInput):
        return str(error)
    out_of_range = _OUT_OF_RANGE.search(str(error))
    return _bound(int(out_of_range[1])) if out_of_range else f"cannot be used: {error}"


def _bound(value: int) -> str:
    """What is wrong with a number that a field cannot hold: one of less than 64 bits has 32, without a sign."""
    if value < 0:
        return "must not be negative"
    most = (1 << 32) - 1 if value < 1 << 63 else (1 << 63) - 1
    return f"too large; the maximum is {most:,}"


def _without(key: str, error: Exception) -> str:
    """The words, without the key that the path ends with."""
    return _words(error).removeprefix(f"{key}: ")
