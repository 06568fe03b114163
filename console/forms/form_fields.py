"""Reads the fields of a form, and collects what is wrong with them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from shoal.errors import Fault, InvalidInput

T = TypeVar("T")
Document = Mapping[str, Any]

MAX_LINES = 1000
"""Of a field that has several."""
_INDEX = re.compile(r"\[\d+\]")


class FormFields:
    """A form as a browser sends it: texts, lists of texts, and switches.

    Attributes:
        faults: so far; the path of each is the name of a field.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self.faults: list[Fault] = []

    def text(self, name: str) -> str:
        """Without blanks around it; empty where it is missing."""
        value = self._document.get(name, "")
        if isinstance(value, str):
            return value.strip()
        self.faults.append(Fault(name, "must be a text"))
        return ""

    def lines(self, name: str) -> list[str]:
        """Those that are not empty."""
        value = self._document.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value) or len(value) > MAX_LINES:
            self.faults.append(Fault(name, f"must be a list of at most {MAX_LINES:,} texts"))
            return []
        return [each.strip() for each in value if each.strip()]

    def flag(self, name: str) -> bool:
        """Whether a switch is on."""
        return self._document.get(name) is True

    def read(self, name: str, parse: Callable[[str], T]) -> T | None:
        """A field in a notation; None where it is empty or wrong."""
        text = self.text(name)
        return self._parsed(name, text, parse) if text else None

    def each(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """The lines of a field in a notation, without those that are wrong."""
        found = (self._parsed(name, line, parse) for line in self.lines(name))
        return [each for each in found if each is not None]

    def check(self, name: str, apply: Callable[[], None]) -> None:
        """Do what may find that a field is wrong."""
        try:
            apply()
        except InvalidInput as error:
            self.faults.extend(Fault(name, each.message) for each in error.faults)

    def raise_faults(self, more: Sequence[Fault] = ()) -> None:
        """Raises InvalidInput if anything is wrong."""
        if self.faults or more:
            raise InvalidInput([*self.faults, *more])

    def _parsed(self, name: str, text: str, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(text)
        except InvalidInput as error:
            self.faults.extend(Fault(name, each.message) for each in error.faults)
            return None


def pair(text: str) -> tuple[str, str]:
    """Name and value of a label, "NAME=VALUE". Raises as `variable`."""
    name, _, value = variable(text).partition("=")
    return name, value


def variable(text: str) -> str:
    """An environment variable, "NAME=VALUE".

    Raises:
        InvalidInput: it has no name, or no value.
    """
    name, sign, _ = text.partition("=")
    if not (name and sign):
        raise InvalidInput(f"{text!r} must be in the form NAME=VALUE")
    return text


def faults_by_field(faults: Sequence[Fault], fields: Mapping[str, str]) -> list[Fault]:
    """A manager's faults, which name fields of specs, by the form's fields; a path without one stays as it is.

    Args:
        fields: names of the form's by paths, or by beginnings of them.
    """
    return [Fault(_field_of(each.path, fields), each.message) for each in faults]


def _field_of(path: str, fields: Mapping[str, str]) -> str:
    parts = _INDEX.sub("", path).split(".")
    beginnings = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((fields[each] for each in beginnings if each in fields), path)
