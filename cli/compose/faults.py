"""Gathering every fault and warning of the files, each with its place."""

from collections.abc import Callable, Mapping
from typing import Any

from cli.compose.tree import YamlPath, dotted, where
from shoal.errors import Fault, InvalidInput

_WRONG = (InvalidInput, TypeError, ValueError, AttributeError, KeyError)
"""The schema admits forms that a conversion does not expect, such as null: told, never a traceback."""


class Faults:
    """What is wrong, in the order in which it was found."""

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self.warnings: list[str] = []

    def settle(self) -> None:
        """Raises InvalidInput when there are any."""
        if self.found:
            raise InvalidInput(list(dict.fromkeys(self.found)))


class Report:
    """Takes the faults of one tree.

    Args:
        fallback: told as the place where the tree has none, such as the file's name.
    """

    def __init__(self, faults: Faults, tree: Any, fallback: str) -> None:
        self._faults = faults
        self._tree = tree
        self._fallback = fallback

    def add(self, path: YamlPath, message: str) -> None:
        """Something is wrong at a path of the tree."""
        self._faults.found.append(Fault(self._at(path), message))

    def warn(self, path: YamlPath, message: str) -> None:
        """Something is odd there."""
        self._faults.warnings.append(f"{self._at(path)}: {message}")

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
    return str(error) if isinstance(error, InvalidInput) else f"cannot be used: {error}"


def _without(key: str, error: Exception) -> str:
    """The words, without the key that the path ends with."""
    return _words(error).removeprefix(f"{key}: ")
