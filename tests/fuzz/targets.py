"""Finds the fuzz targets of this folder by name."""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_NOT_TOPICS = frozenset({"run", "targets", "fuzz_one"})

Target = Callable[[bytes], None]


@dataclass(frozen=True)
class FuzzTarget:
    """One target.

    Attributes:
        name: "<topic>.<function>".
        examples: inputs of its topic to begin with.
    """

    name: str
    run: Target
    examples: Sequence[bytes]


def topics() -> list[str]:
    """The modules of this folder that hold targets."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_TOPICS)


def targets(names: Iterable[str] = ()) -> list[FuzzTarget]:
    """All of them, or those that are named, by topic or whole.

    Raises:
        LookupError: there is none of a name.
    """
    found = [each for topic in topics() for each in of_topic(topic)]
    selected = list(names)
    chosen = [each for each in found if not selected or any(_is_named(each, name) for name in selected)]
    for name in selected:
        if not any(_is_named(each, name) for each in chosen):
            raise LookupError(f"there is no fuzz target {name!r}; --list names them")
    return chosen


def of_topic(topic: str) -> list[FuzzTarget]:
    """The targets of one module."""
    module = importlib.import_module(f"tests.fuzz.{topic}")
    examples: Sequence[bytes] = getattr(module, "EXAMPLES", ())
    return [
        FuzzTarget(f"{topic}.{name}", value, examples)
        for name, value in sorted(vars(module).items())
        if name.startswith("fuzz_") and callable(value)
    ]


def _is_named(target: FuzzTarget, name: str) -> bool:
    return name in (target.name, target.name.partition(".")[0])
