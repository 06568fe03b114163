"""What all filters share: their texts, and how several of them go together. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shoal.errors import Fault, InvalidInput

T = TypeVar("T")

BOOLEANS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
MOST_FILTERS = 1000


@dataclass(frozen=True)
class Filter(Generic[T]):
    """One key.

    Attributes:
        fits: whether an object fits a value.
        values: all that it can have; empty: any text.
        every: of several values all have to fit, as of labels; else any.
    """

    fits: Callable[[T, str], bool]
    values: Sequence[str] = field(default=())
    every: bool = False


@dataclass(frozen=True)
class Filters(Generic[T]):
    """The keys of one kind of listing."""

    keys: Mapping[str, Filter[T]]

    def parse(self, texts: Iterable[str]) -> Callable[[T], bool]:
        """What `KEY=VALUE` texts keep; nothing given keeps all.

        Raises:
            InvalidInput: with every fault.
        """
        wanted: dict[str, list[str]] = {}
        faults = []
        for text in texts:
            key, sign, value = text.partition("=")
            if not sign:
                faults.append(Fault("", f"--filter: {text!r} is not of the form KEY=VALUE"))
            else:
                wanted.setdefault(key.strip().lower(), []).append(value.strip())
        if found := [*faults, *self._faults(wanted)]:
            raise InvalidInput(found)
        return self._keeps(wanted)

    def of(self, wanted: Mapping[str, Sequence[str]]) -> Callable[[T], bool]:
        """The same of values by key, as Docker's API has them.

        Raises:
            InvalidInput: with every fault.
        """
        if found := self._faults(wanted):
            raise InvalidInput(found)
        return self._keeps(wanted)

    def _faults(self, wanted: Mapping[str, Sequence[str]]) -> list[Fault]:
        if sum(map(len, wanted.values())) > MOST_FILTERS:
            return [Fault("", f"--filter: too many; the maximum is {MOST_FILTERS:,}")]
        faults = []
        for key, values in wanted.items():
            known = self.keys.get(key)
            if known is None:
                faults.append(Fault("", f"--filter: {key!r} is not one of {', '.join(self.keys)}"))
                continue
            odd = [value for value in values if known.values and value not in known.values]
            faults += [Fault("", f"--filter: {key} {value!r} is not one of {', '.join(known.values)}") for value in odd]
        return faults

    def _keeps(self, wanted: Mapping[str, Sequence[str]]) -> Callable[[T], bool]:
        chosen = [(self.keys[key], tuple(values)) for key, values in wanted.items() if values]

        def keeps(each: T) -> bool:
            return all((all if one.every else any)(one.fits(each, value) for value in values) for one, values in chosen)

        return keeps


def has_label(labels: Mapping[str, str], text: str) -> bool:
    """Whether there is the label of "name", or with the value of "name=value"."""
    name, sign, value = text.partition("=")
    return name in labels and (not sign or labels[name] == value)


def labelled(labels: Callable[[T], Mapping[str, str]]) -> Filter[T]:
    """`label=NAME[=VALUE]`."""
    return Filter(lambda each, text: has_label(labels(each), text), every=True)


def beginning(text_of: Callable[[T], str]) -> Filter[T]:
    """By how a text begins."""
    return Filter(lambda each, value: text_of(each).startswith(value))


def containing(text_of: Callable[[T], str]) -> Filter[T]:
    """By a part of a text."""
    return Filter(lambda each, value: value in text_of(each))


def exact(text_of: Callable[[T], str], values: Sequence[str] = ()) -> Filter[T]:
    """By a whole text."""
    return Filter(lambda each, value: text_of(each) == value, values)


def boolean(holds: Callable[[T], bool]) -> Filter[T]:
    """`true` (`1`) or `false` (`0`)."""
    return Filter(lambda each, value: holds(each) == BOOLEANS[value], tuple(BOOLEANS))
