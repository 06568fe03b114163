"""Filter expressions: parsing, and how several of them combine. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shoal.errors import Fault, InvalidInput

T = TypeVar("T")

BOOLEANS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
MAX_FILTERS = 1000


@dataclass(frozen=True)
class KeyFilter(Generic[T]):
    """One key.

    Attributes:
        matches: whether an object fits a value.
        values: all that it can have; empty: any text.
        match_all: of several values all have to fit, as of labels; else any.
    """

    matches: Callable[[T, str], bool]
    values: Sequence[str] = field(default=())
    match_all: bool = False


@dataclass(frozen=True)
class FilterSet(Generic[T]):
    """The keys of one kind of listing."""

    keys: Mapping[str, KeyFilter[T]]

    def parse(self, texts: Iterable[str]) -> Callable[[T], bool]:
        """What `KEY=VALUE` texts keep; nothing given keeps all.

        Raises:
            InvalidInput: with every fault.
        """
        given: dict[str, list[str]] = {}
        faults = []
        for text in texts:
            key, sign, value = text.partition("=")
            if not sign:
                faults.append(Fault("", f"--filter: {text!r} must be in the form KEY=VALUE"))
            else:
                given.setdefault(key.strip().lower(), []).append(value.strip())
        if found := [*faults, *self._faults(given)]:
            raise InvalidInput(found)
        return self._predicate(given)

    def parse_mapping(self, given: Mapping[str, Sequence[str]]) -> Callable[[T], bool]:
        """The same of values by key, as Docker's API has them.

        Raises:
            InvalidInput: with every fault.
        """
        if found := self._faults(given):
            raise InvalidInput(found)
        return self._predicate(given)

    def _faults(self, given: Mapping[str, Sequence[str]]) -> list[Fault]:
        if sum(map(len, given.values())) > MAX_FILTERS:
            return [Fault("", f"--filter: too many filters; the maximum is {MAX_FILTERS:,}")]
        faults = []
        for key, values in given.items():
            known = self.keys.get(key)
            if known is None:
                faults.append(Fault("", f"--filter: unknown key {key!r}; allowed keys are {', '.join(self.keys)}"))
                continue
            unknown = [value for value in values if known.values and value not in known.values]
            faults += [
                Fault("", f"--filter: {key} {value!r} must be one of {', '.join(known.values)}") for value in unknown
            ]
        return faults

    def _predicate(self, given: Mapping[str, Sequence[str]]) -> Callable[[T], bool]:
        chosen = [(self.keys[key], tuple(values)) for key, values in given.items() if values]

        def keeps(each: T) -> bool:
            return all(
                (all if one.match_all else any)(one.matches(each, value) for value in values) for one, values in chosen
            )

        return keeps


def has_label(labels: Mapping[str, str], text: str) -> bool:
    """Whether there is the label of "name", or with the value of "name=value"."""
    name, sign, value = text.partition("=")
    return name in labels and (not sign or labels[name] == value)


def label_filter(labels: Callable[[T], Mapping[str, str]]) -> KeyFilter[T]:
    """`label=NAME[=VALUE]`."""
    return KeyFilter(lambda each, text: has_label(labels(each), text), match_all=True)


def prefix_filter(text_of: Callable[[T], str]) -> KeyFilter[T]:
    """By how a text begins."""
    return KeyFilter(lambda each, value: text_of(each).startswith(value))


def substring_filter(text_of: Callable[[T], str]) -> KeyFilter[T]:
    """By a part of a text."""
    return KeyFilter(lambda each, value: value in text_of(each))


def exact_filter(text_of: Callable[[T], str], values: Sequence[str] = ()) -> KeyFilter[T]:
    """By a whole text."""
    return KeyFilter(lambda each, value: text_of(each) == value, values)


def boolean_filter(holds: Callable[[T], bool]) -> KeyFilter[T]:
    """`true` (`1`) or `false` (`0`)."""
    return KeyFilter(lambda each, value: holds(each) == BOOLEANS[value], tuple(BOOLEANS))
