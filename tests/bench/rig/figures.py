"""A measured figure, with what it is to reach; and the table that people read."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured, with the quantile where it is one.
        value: in `unit`.
        at_most, at_least: what is to be reached, in the same unit; None for a figure that is only reported.
        scope: "end to end", or the part that was measured alone.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    scope: str = "end to end"

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None

    @property
    def target(self) -> str:
        """As a reader has it."""
        if self.at_most is not None:
            return f"<= {self.at_most:g} {self.unit}"
        return f">= {self.at_least:g} {self.unit}" if self.at_least is not None else ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "target": self.target,
            "met": self.met,
            "scope": self.scope,
        }


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def p99(values: Iterable[float]) -> float:
    """The 99th percentile; of fewer than a hundred values the greatest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def table(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    rows = [("figure", "scope", "target", "measured", "verdict")]
    verdicts = {True: "met", False: "MISSED", None: ""}
    rows += [
        (each.name, each.scope, each.target, f"{each.value:,.{_digits(each.value)}f} {each.unit}", verdicts[each.met])
        for each in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _digits(value: float) -> int:
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
