"""Warnings of build checks, those that are skipped left out. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shoal.dockerfile.checks.check_options import CheckOptions, skipped_in
from shoal.dockerfile.checks.check_rules import CheckRule
from shoal.dockerfile.lines import LogicalLine
from shoal.dockerfile.source import Location


@dataclass(frozen=True, slots=True)
class CheckWarning:
    """One thing that is probably not meant."""

    rule: CheckRule
    location: Location
    detail: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All of them, by their place in the file.

    Attributes:
        fails: the file wants a build to fail because of them.
    """

    warnings: tuple[CheckWarning, ...]
    fails: bool = False

    @property
    def error(self) -> str:
        """Why the build fails; empty: it does not."""
        if not self.fails or not self.warnings:
            return ""
        names = dict.fromkeys(warning.rule.name for warning in self.warnings)
        return f"lint violation found for rules: {', '.join(names)}"


class WarningCollector:
    """Collects warnings.

    Args:
        lines: of the file; comments above one may skip rules there.
    """

    def __init__(self, options: CheckOptions, lines: Iterable[LogicalLine]) -> None:
        self._options = options
        self._local: Mapping[int, CheckOptions] = {line.location.first: skipped_in(line.comments) for line in lines}
        self._found: dict[CheckWarning, None] = {}

    def add(self, rule: CheckRule, location: Location, detail: str, *, within: Location | None = None) -> None:
        """One warning, unless its rule is off there.

        Args:
            within: the instruction that the place belongs to, where it is not its first line.
        """
        local = self._local.get((within or location).first, CheckOptions())
        if self._options.has(rule) and not local.skipped & {rule.name, "all"}:
            self._found[CheckWarning(rule, location, detail)] = None

    def report(self) -> CheckReport:
        """All so far; the same one once."""
        found = sorted(self._found, key=lambda warning: (warning.location, warning.detail))
        return CheckReport(tuple(found), self._options.fails)
