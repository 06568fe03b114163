"""Invariant 7: what clients lost, and how long they waited. Pure."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.history import FAIL, INFO, INVOKE, OK, Operation
from tests.chaos.violation import ActiveFault, Violation, active_at
from tests.chaos.workload.request_client import REQUEST_SECONDS

WRITE_GAP_SECONDS = 15.0
"""The longest time between two acknowledgements that no fault excuses."""


@dataclass(frozen=True)
class LostRequest:
    """A request without an answer.

    Attributes:
        at: when it was sent, seconds since the Unix epoch.
        kind: "new" or "kept", the connection.
    """

    at: float
    kind: str
    address: str
    why: str


@dataclass(frozen=True)
class ClientReport:
    """What a client tells of a second.

    Attributes:
        answered: by kind of connection.
        gaps: by kind, the longest time between two answers, and when it ended.
    """

    at: float
    answered: Mapping[str, int]
    lost: tuple[LostRequest, ...]
    gaps: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class TrafficSummary:
    """Of one client and one kind of connection.

    Attributes:
        answered_in_calm, lost_in_calm: while no fault was active or had just ended.
        longest_gap: between two answers, seconds.
        gap_at: when it ended.
    """

    client: str
    kind: str
    answered: int
    lost: int
    answered_in_calm: int
    lost_in_calm: int
    longest_gap: float
    gap_at: float


def check_traffic(
    reports: Mapping[str, Sequence[ClientReport]], faults: Sequence[ActiveFault], *, aftermath: float
) -> Iterator[Violation]:
    """Requests that were lost though no fault was active or had just ended; one violation for each client and kind.

    Args:
        reports: by client.
    """
    for client, received in reports.items():
        for kind in ("new", "kept"):
            calm = _in_calm(_lost(received, kind), faults, aftermath)
            if calm:
                first = calm[0]
                what = f"{len(calm)} requests of client {client} on {kind} connections were lost in calm"
                yield Violation(7, f"{what}; the first by {first.address}: {first.why}", first.at)


def _in_calm(lost: Sequence[LostRequest], faults: Sequence[ActiveFault], aftermath: float) -> list[LostRequest]:
    return [each for each in lost if not active_at(each.at, faults, aftermath=aftermath, lasting=REQUEST_SECONDS)]


def summarize(
    reports: Mapping[str, Sequence[ClientReport]], faults: Sequence[ActiveFault], *, aftermath: float
) -> list[TrafficSummary]:
    """What each client had, for the report."""
    found = []
    for client, received in reports.items():
        for kind in ("new", "kept"):
            lost = _lost(received, kind)
            gaps = [(each.gaps[kind][0], each.gaps[kind][1]) for each in received if kind in each.gaps]
            gap, at = max(gaps, default=(0.0, 0.0))
            lost_in_calm = len(_in_calm(lost, faults, aftermath))
            answered = sum(each.answered.get(kind, 0) for each in received)
            calm = [each for each in received if not active_at(each.at, faults, aftermath=aftermath)]
            in_calm = sum(each.answered.get(kind, 0) for each in calm)
            found.append(TrafficSummary(client, kind, answered, len(lost), in_calm, lost_in_calm, gap, at))
    return found


@dataclass(frozen=True)
class Gap:
    """A time without an answer, or without an acknowledgement.

    Attributes:
        ended: seconds since the Unix epoch.
    """

    who: str
    seconds: float
    ended: float


def longest_gaps(reports: Mapping[str, Sequence[ClientReport]], count: int) -> list[Gap]:
    """The longest ones of all clients, the longest first. Each second of a client tells one."""
    found = [
        Gap(f"{client}, {kind}", seconds, ended)
        for client, received in reports.items()
        for each in received
        for kind, (seconds, ended) in each.gaps.items()
    ]
    return sorted(found, key=lambda gap: -gap.seconds)[:count]


def reasons(reports: Mapping[str, Sequence[ClientReport]], count: int) -> list[tuple[str, str, int]]:
    """Why requests were lost: client and connection, why, how many; the most frequent first."""
    counts = Counter(
        (f"{client}, {lost.kind}", lost.why)
        for client, received in reports.items()
        for each in received
        for lost in each.lost
    )
    return [(who, why, number) for (who, why), number in counts.most_common(count)]


def lost_by_kind(
    reports: Mapping[str, Sequence[ClientReport]], faults: Sequence[ActiveFault], *, aftermath: float
) -> dict[str, int]:
    """Requests that were lost during faults of each kind; one during two faults counts for both."""
    counts: Counter[str] = Counter()
    for received in reports.values():
        for lost in (each for report in received for each in report.lost):
            counts.update({fault.kind for fault in active_at(lost.at, faults, aftermath=aftermath)})
    return dict(counts)


def _lost(received: Sequence[ClientReport], kind: str) -> list[LostRequest]:
    return [lost for report in received for lost in report.lost if lost.kind == kind]


@dataclass(frozen=True)
class WriteSummary:
    """Of the writer.

    Attributes:
        unknown: writes whose outcome it was not received.
        longest_gap: between two acknowledgements, seconds, and when it ended.
    """

    acknowledged: int
    failed: int
    unknown: int
    longest_gap: float
    gap_at: float


def summarize_writes(operations: Sequence[Operation], process: str) -> WriteSummary:
    """What became of the writes of a process."""
    own = [each for each in operations if each.process == process]
    times = [each.at for each in own if each.type == OK]
    begun = next((each.at for each in own if each.type == INVOKE), 0.0)
    gap, at = max(((b - a, b) for a, b in zip([begun, *times], times, strict=False)), default=(0.0, 0.0))
    count = {kind: sum(each.type == kind for each in own) for kind in (OK, FAIL, INFO)}
    return WriteSummary(count[OK], count[FAIL], count[INFO], round(gap, 2), at)


def longest_write_gaps(operations: Sequence[Operation], process: str, count: int) -> list[Gap]:
    """Between two acknowledgements, the longest first."""
    times = [each.at for each in operations if each.process == process and each.type == OK]
    found = [Gap(process, round(after - before, 2), after) for before, after in itertools.pairwise(times)]
    return sorted(found, key=lambda gap: -gap.seconds)[:count]


def check_write_gaps(
    operations: Sequence[Operation], process: str, faults: Sequence[ActiveFault]
) -> Iterator[Violation]:
    """Writes that nobody acknowledged for long, though no fault had hurt managers or etcd."""
    times = [each.at for each in operations if each.process == process and each.type == OK]
    hurting = [each for each in faults if each.hurts_control]
    for before, after in itertools.pairwise(times):
        if after - before <= WRITE_GAP_SECONDS:
            continue
        if not any(each.begun < after and each.ended + WRITE_GAP_SECONDS > before for each in hurting):
            yield Violation(7, f"no write was acknowledged for {after - before:.1f} s", after)
