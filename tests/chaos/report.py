"""The report of a run, for a person. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.chaos.checks.traffic import TrafficSummary, WriteSummary
from tests.chaos.violation import Violation

INVARIANTS: Mapping[int, str] = {
    1: "acknowledged writes are there, unknown ones whole or absent",
    2: "histories of keys go forward",
    3: "no address, port, volume or slot is held twice",
    4: "no reachable node is given up, none of its tasks replaced",
    5: "all converges, and managers answer what etcd has",
    6: "hosts have exactly what should run",
    7: "clients lose nothing in calm",
    8: "no program ends by itself, fails unexpectedly or grows",
}
_SHOWN = 20
"""Violations of one invariant."""


@dataclass(frozen=True)
class ChaosReport:
    """What a run gave.

    Attributes:
        faults: how many of each kind.
        convergence_seconds: after the last step's calm; None: not in time.
        history_gaps: revisions whose predecessors were compacted before the checker had seen them.
        errors: faults that could not be injected.
        notes: facts that are no violations.
    """

    seed: int
    minutes: float
    faults: Mapping[str, int]
    violations: Sequence[Violation]
    traffic: Sequence[TrafficSummary]
    writes: WriteSummary
    convergence_seconds: float | None
    events: int
    history_gaps: Sequence[int]
    errors: Sequence[str]
    notes: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        return not self.violations and not self.errors


def report_text(report: ChaosReport) -> str:
    """All of it, as Markdown."""
    lines = [f"# Chaos, seed {report.seed}, {report.minutes:g} minutes", ""]
    total = sum(report.faults.values())
    lines += [f"{total} faults: " + ", ".join(f"{name} {count}" for name, count in report.faults.items()), ""]
    lines += _traffic(report)
    lines += ["", *_invariants(report)]
    lines += [f"- not injected: {each}" for each in report.errors]
    lines += [f"- {each}" for each in report.notes]
    return "\n".join(lines) + "\n"


def _traffic(report: ChaosReport) -> list[str]:
    lines = ["| Client | Connections | Answered | Lost | Lost in calm | Longest gap, s |", "|---|---|---|---|---|---|"]
    lines += (
        f"| {each.client} | {each.kind} | {each.answered} | {each.lost} | {each.lost_in_calm} | {each.longest_gap} |"
        for each in report.traffic
    )
    writes = report.writes
    lines += ["", f"Writes: {writes.acknowledged} acknowledged, {writes.failed} refused, {writes.unknown} unknown; "]
    lines[-1] += f"longest time between two acknowledgements {writes.longest_gap} s."
    end = "not in time" if report.convergence_seconds is None else f"{report.convergence_seconds:.1f} s"
    gaps = f", {len(report.history_gaps)} gaps" if report.history_gaps else ""
    lines += [f"Converged after the last calm: {end}. Changes of records seen: {report.events}{gaps}."]
    return lines


def _invariants(report: ChaosReport) -> list[str]:
    counts = Counter(each.invariant for each in report.violations)
    lines = ["| Invariant | Violations |", "|---|---|"]
    lines += (f"| {number}. {text} | {counts[number]} |" for number, text in INVARIANTS.items())
    lines.append("")
    for number in INVARIANTS:
        found = [each for each in report.violations if each.invariant == number]
        lines += map(_line, found[:_SHOWN])
        if len(found) > _SHOWN:
            lines.append(f"- and {len(found) - _SHOWN} more of invariant {number}")
    return lines


def _line(found: Violation) -> str:
    at = datetime.fromtimestamp(found.at, UTC).strftime("%H:%M:%S") if found.at else "at the end"
    during = f" (faults: {', '.join(found.faults)})" if found.faults else ""
    return f"- {found.invariant}: {at}: {found.what}{during}"
