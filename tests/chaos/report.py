"""The report of a run, for a person. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.chaos.checks.memory import MemoryGrowth
from tests.chaos.checks.traffic import Gap, TrafficSummary, WriteSummary
from tests.chaos.violation import ATTRIBUTION_SECONDS, ActiveFault, Violation

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
class Reached:
    """A point of its code at which a program ended."""

    program: str
    point: str


@dataclass(frozen=True)
class ChaosReport:
    """What a run gave.

    Attributes:
        begun, ended: seconds since the Unix epoch.
        faults: as they were injected.
        lost: requests by the kind of fault during which they were lost.
        reasons: who lost requests, why, and how many.
        gaps: the longest ones of clients, then of the writer.
        convergence_seconds: after the last step's calm; None: not in time.
        history_gaps: revisions whose predecessors were compacted before the checker had seen them.
        errors: faults that could not be injected.
        reached: points of code at which programs ended.
        notes: what faults measured; no violations.
    """

    seed: int
    minutes: float
    faults: Sequence[ActiveFault]
    violations: Sequence[Violation]
    traffic: Sequence[TrafficSummary]
    writes: WriteSummary
    convergence_seconds: float | None
    events: int
    history_gaps: Sequence[int] = ()
    errors: Sequence[str] = ()
    begun: float = 0.0
    ended: float = 0.0
    lost: Mapping[str, int] = field(default_factory=dict)
    reasons: Sequence[tuple[str, str, int]] = ()
    gaps: Sequence[Gap] = ()
    memory: Sequence[MemoryGrowth] = ()
    reached: Sequence[Reached] = ()
    notes: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        return not self.violations and not self.errors


def report_text(report: ChaosReport) -> str:
    """All of it, as Markdown."""
    parts = (_summary, _invariants, _faults, _traffic, _gaps, _points, _memory, _notes)
    sections = ["\n".join(lines) for part in parts if (lines := part(report))]
    return "\n\n".join([f"# Chaos, seed {report.seed}, {report.minutes:g} minutes", *sections]) + "\n"


def _summary(report: ChaosReport) -> list[str]:
    found, broken = len(report.violations), len(report.errors)
    result = "**Passed.**" if report.passed else f"**{found} violations, {broken} faults not injected.**"
    end = "not in time" if report.convergence_seconds is None else f"{report.convergence_seconds:.1f} s"
    gaps = f", {len(report.history_gaps)} gaps" if report.history_gaps else ""
    took = f"{_time(report.begun, day=True)}, {(report.ended - report.begun) / 60:.0f} min"
    return [
        f"{result} {len(report.faults)} faults. {took}. Converged after the last calm: {end}. "
        f"Changes of records seen: {report.events}{gaps}."
    ]


def _invariants(report: ChaosReport) -> list[str]:
    counts = Counter(each.invariant for each in report.violations)
    rows = [[f"{number}. {text}", counts[number]] for number, text in INVARIANTS.items()]
    lines = ["## Invariants", "", *_table(["Invariant", "Violations"], rows)]
    if report.violations or report.errors:
        lines.append("")
    for number in INVARIANTS:
        found = [each for each in report.violations if each.invariant == number]
        lines += map(_line, found[:_SHOWN])
        if len(found) > _SHOWN:
            lines.append(f"- and {len(found) - _SHOWN} more of invariant {number}")
    return lines + [f"- not injected: {each}" for each in report.errors]


def _line(found: Violation) -> str:
    at = _time(found.at) if found.at else "at the end"
    during = f" (faults: {', '.join(found.faults)})" if found.faults else ""
    return f"- {found.invariant}: {at}: {found.what}{during}"


def _faults(report: ChaosReport) -> list[str]:
    counts = Counter(each.kind for each in report.faults)
    seconds: Counter[str] = Counter()
    for each in report.faults:
        seconds[each.kind] += round(each.ended - each.begun)
    rows = [[kind, count, seconds[kind], report.lost.get(kind, 0)] for kind, count in sorted(counts.items())]
    return ["## Faults", "", *_table(["Kind", "Faults", "Seconds", "Requests lost"], rows)]


def _traffic(report: ChaosReport) -> list[str]:
    head = ["Client", "Connections", "Answered", "Lost", "Answered in calm", "Lost in calm", "Longest gap, s"]
    rows = [
        [each.client, each.kind, each.answered, each.lost, each.answered_in_calm, each.lost_in_calm, each.longest_gap]
        for each in report.traffic
    ]
    writes = report.writes
    text = f"Writes: {writes.acknowledged} acknowledged, {writes.failed} refused, {writes.unknown} unknown; "
    text += f"longest time between two acknowledgements {writes.longest_gap} s."
    lines = ["## Requests and writes", "", *_table(head, rows), "", text]
    return lines + (["", *_table(["Of", "Lost because of", "Requests"], report.reasons)] if report.reasons else [])


def _gaps(report: ChaosReport) -> list[str]:
    if not report.gaps:
        return []
    rows = [
        [each.who, each.seconds, _time(each.ended), ", ".join(_during(each, report.faults))] for each in report.gaps
    ]
    return ["## Longest gaps", "", *_table(["Of", "Seconds", "Until", "During"], rows)]


def _during(gap: Gap, faults: Sequence[ActiveFault]) -> list[str]:
    return [
        each.name
        for each in faults
        if each.begun <= gap.ended and gap.ended - gap.seconds <= each.ended + ATTRIBUTION_SECONDS
    ]


def _points(report: ChaosReport) -> list[str]:
    if not report.reached:
        return []
    programs: dict[str, list[str]] = {}
    for each in report.reached:
        programs.setdefault(each.point, []).append(each.program)
    rows = [[point, len(names), ", ".join(sorted(set(names)))] for point, names in sorted(programs.items())]
    return ["## Fault points at which programs ended", "", *_table(["Point", "Times", "Programs"], rows)]


def _memory(report: ChaosReport) -> list[str]:
    if not report.memory:
        return []
    head = ["Program", "Processes", "Observed, min", "Warm, MiB", "Grown, MiB", "Steadily, MiB an hour"]
    rows = [
        [
            each.name,
            each.processes,
            round(each.seconds / 60),
            each.first_bytes >> 20,
            round(each.grown_bytes / (1 << 20), 1),
            round(each.steady_bytes / (1 << 20), 1),
        ]
        for each in report.memory
    ]
    return ["## Memory", "", *_table(head, rows)]


def _notes(report: ChaosReport) -> list[str]:
    return ["## Notes", "", *(f"- {each}" for each in report.notes)] if report.notes else []


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


def _time(at: float, *, day: bool = False) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")
