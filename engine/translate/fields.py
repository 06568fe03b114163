"""Reading JSON objects of requests, typed, with Go's words for what has the wrong type. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from engine.protocol.errors import ApiError, bad_request

MAX_LIST = 10_000
"""Entries of a list or a map."""


class Fields:
    """An object of a request. What is absent or null reads as empty.

    Keys are found in any case, as Go's decoder finds them: some clients write `detachKeys`.

    Attributes:
        path: where it is, for messages: "HostConfig".
    """

    def __init__(self, document: Mapping[str, Any] | None, path: str = "") -> None:
        self.document: Mapping[str, Any] = {} if document is None else document
        self.path = path

    def has(self, key: str) -> bool:
        """Whether it is there and not null."""
        return self.value(key) is not None

    def value(self, key: str) -> Any:
        """What there is, of any type; None where it is absent or null."""
        found = self.document.get(key)
        if found is not None or key in self.document:
            return found
        folded = key.casefold()
        return next((value for name, value in self.document.items() if name.casefold() == folded), None)

    def text(self, key: str) -> str:
        return str(self._of(key, str, "string", ""))

    def boolean(self, key: str) -> bool:
        return bool(self._of(key, bool, "bool", default=False))

    def number(self, key: str) -> int:
        """An integer of 64 bits."""
        value = self._of(key, int, "int64", 0)
        if isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
            raise self.wrong_type(key, value, "int64")
        return int(value)

    def count(self, key: str) -> int:
        """An integer of 32 bits without a sign."""
        number = self.number(key)
        if not 0 <= number < 1 << 32:
            raise self.invalid(key, f"{number} is out of range")
        return number

    def texts(self, key: str) -> list[str]:
        """A list of strings; a string alone stands for a list of one, as in `Cmd` and `Entrypoint`."""
        value = self.value(key)
        if isinstance(value, str):
            return [value]
        found = self._of(key, list, "[]string", [])
        for each in found:
            if not isinstance(each, str):
                raise self.wrong_type(key, each, "string")
        return list(self._bounded(key, found))

    def text_map(self, key: str) -> dict[str, str]:
        found = self._of(key, dict, "map[string]string", {})
        for each in found.values():
            if not isinstance(each, str):
                raise self.wrong_type(key, each, "string")
        return dict(self._bounded(key, found))

    def nested(self, key: str) -> "Fields":
        return Fields(self._of(key, dict, "struct", {}), self._at(key))

    def nested_list(self, key: str) -> list["Fields"]:
        """A list of objects."""
        found = self._bounded(key, self._of(key, list, "list", []))
        return [self._entry(key, each) for each in found]

    def items(self, key: str) -> Iterator[tuple[str, Any]]:
        """The entries of a map, as they are."""
        yield from self._bounded(key, self._of(key, dict, "map", {})).items()

    def nested_map(self, key: str) -> dict[str, "Fields"]:
        """A map of objects, of which null ones read as empty."""
        return {name: self._entry(f"{key}.{name}", value, nullable=True) for name, value in self.items(key)}

    def invalid(self, key: str, message: str) -> ApiError:
        """An error about one key's value."""
        return bad_request(f"invalid {self._at(key)}: {message}")

    def wrong_type(self, key: str, value: object, expected: str) -> ApiError:
        """An error as Go's decoder has it."""
        found = f"cannot unmarshal {_go_kind(value)} into Go struct field {self._at(key)} of type {expected}"
        return bad_request(f"invalid JSON: json: {found}")

    def _entry(self, key: str, value: object, *, nullable: bool = False) -> "Fields":
        if value is None and nullable:
            return Fields({}, self._at(key))
        if not isinstance(value, dict):
            raise self.wrong_type(key, value, "struct")
        return Fields(value, self._at(key))

    def _of(self, key: str, kind: type, name: str, default: Any = None) -> Any:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self.wrong_type(key, value, name)
        return value

    def _bounded(self, key: str, value: Any) -> Any:
        if len(value) > MAX_LIST:
            raise self.invalid(key, f"has {len(value):,} entries; the maximum is {MAX_LIST:,}")
        return value

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _go_kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number" if isinstance(value, int) else f"number {value!r}"
    kinds = {str: "string", list: "array", dict: "object"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "null")
