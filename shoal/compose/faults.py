"""Collect all errors and warnings of the files, each with its source location."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shoal.compose.reading.yaml_tree import YamlPath, format_path, locate
from shoal.errors import Fault, InvalidInput

_CONVERSION_ERRORS = (InvalidInput, TypeError, ValueError, AttributeError, KeyError)
"""The schema admits forms that a conversion does not expect, such as null: an error, never a traceback."""

_OUT_OF_RANGE = re.compile(r"[Oo]ut of range: (-?\d{1,40})")
"""Protobuf's error for a number that its field cannot hold."""

R = TypeVar("R")


class FaultLog:
    """What is wrong, in the order in which it was found.

    Every stage checks the whole model, also parts that are faulty already, so that all faults are reported at once.
    Further faults of the same part are left out: they follow from the earlier one.
    """

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self.warnings: list[str] = []
        self._faulty: list[YamlPath] = []
        self._earlier: tuple[YamlPath, ...] = ()

    def next_stage(self) -> None:
        """From now on, faults of parts that are faulty already are left out."""
        self._earlier = tuple(self._faulty)

    def record(self, path: YamlPath, fault: Fault) -> None:
        """Take a fault of what the path leads to, unless it only follows from one of an earlier stage."""
        if not self.is_known_faulty(path):
            self.found.append(fault)
            self._faulty.append(_scope(path))

    def is_known_faulty(self, path: YamlPath) -> bool:
        """Whether an earlier stage has found fault with this, with a part of it, or with what it is a part of."""
        return any(path[: len(each)] == each or path == each[: len(path)] for each in self._earlier)

    def tolerate(self, path: YamlPath, action: Callable[[], R], otherwise: R) -> R:
        """The result of an action on a part. After faults of earlier stages it may fail: nothing more is reported."""
        try:
            return action()
        except _CONVERSION_ERRORS:
            if not self._earlier:
                raise
            self._faulty.append(path)
            return otherwise

    def raise_faults(self) -> None:
        """Raises InvalidInput when there are any."""
        if self.found:
            raise InvalidInput(list(dict.fromkeys(self.found)))


def _scope(path: YamlPath) -> YamlPath:
    """What a fault makes faulty: a service that cannot be extended, all of it; a file to include, everything."""
    if path[:1] == ("include",):
        return ()
    return path[:2] if path[2:3] == ("extends",) else path


class FaultReporter:
    """Takes the faults of one tree.

    Args:
        fallback: the location where the tree has none, such as the file's name.
    """

    def __init__(self, faults: FaultLog, tree: Any, fallback: str) -> None:
        self._faults = faults
        self._tree = tree
        self._fallback = fallback

    def add(self, path: YamlPath, message: str, *, about: YamlPath | None = None) -> None:
        """Record a fault at a path of the tree.

        Args:
            about: what is wrong, where the path leads to what is around it.
        """
        self._faults.record(about or path, Fault(self._at(path), message))

    def warn(self, path: YamlPath, message: str) -> None:
        """A warning about the path."""
        self._faults.warnings.append(f"{self._at(path)}: {message}")

    def tolerate(self, path: YamlPath, action: Callable[[], R], otherwise: R) -> R:
        """As `FaultLog.tolerate`."""
        return self._faults.tolerate(path, action, otherwise)

    def catch(self, path: YamlPath, action: Callable[[], None]) -> None:
        """Run the action; an invalid input is a fault at the path."""
        try:
            action()
        except _CONVERSION_ERRORS as error:
            self.add(path, _message(error))

    def catch_section(self, path: YamlPath, value: Any, action: Callable[[Any], None]) -> None:
        """Run the action with a mapping; every key that is wrong by itself is a fault of its own.

        Args:
            action: has no effect when it is done with a part that is wrong, or its effect does not count then.
        """
        try:
            action(value)
        except _CONVERSION_ERRORS:
            if not self._catch_keys(path, value, action):
                self.catch(path, lambda: action(value))

    def _catch_keys(self, path: YamlPath, value: Any, action: Callable[[Any], None]) -> bool:
        """Whether any key of the mapping was at fault."""
        found = False
        for key, item in value.items() if isinstance(value, Mapping) else ():
            try:
                action({key: item})
            except _CONVERSION_ERRORS as error:
                found = True
                if not self._catch_keys((*path, key), item, lambda part, key=key: action({key: part})):  # type: ignore[misc]
                    self.add((*path, key), _without_key(str(key), error))
        return found

    def _at(self, path: YamlPath) -> str:
        location = locate(self._tree, path) if path else None
        text = str(location) if location is not None else self._fallback
        return f"{text}: {format_path(path)}" if path else text


def _message(error: Exception) -> str:
    if isinstance(error, InvalidInput):
        return str(error)
    out_of_range = _OUT_OF_RANGE.search(str(error))
    return _bound(int(out_of_range[1])) if out_of_range else f"invalid value: {error}"


def _bound(value: int) -> str:
    """What is wrong with a number that a field cannot hold: one of less than 64 bits has 32, without a sign."""
    if value < 0:
        return "must not be negative"
    most = (1 << 32) - 1 if value < 1 << 63 else (1 << 63) - 1
    return f"too large; the maximum is {most:,}"


def _without_key(key: str, error: Exception) -> str:
    """The text, without the key that the path ends with."""
    return _message(error).removeprefix(f"{key}: ")
