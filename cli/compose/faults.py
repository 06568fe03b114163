"""Gathering every fault and warning of the files, each with its place."""

from collections.abc import Callable
from typing import Any

from cli.compose.tree import YamlPath, dotted, where
from shoal.errors import Fault, InvalidInput


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
        except InvalidInput as error:
            self.add(path, str(error))
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            # The schema admits forms that a conversion does not expect, such as null: told, never a traceback.
            self.add(path, f"cannot be used: {error}")

    def _at(self, path: YamlPath) -> str:
        place = where(self._tree, path) if path else None
        text = str(place) if place is not None else self._fallback
        return f"{text}: {dotted(path)}" if path else text
