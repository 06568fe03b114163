"""The schedule of a run: a pure function of its seed and length, and a file that can be run again."""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.fault_kinds import FAULT_KINDS, PlannedFault

MIN_SECONDS = 5.0
MAX_SECONDS = 20.0
CALM_SECONDS = 10.0
LONG_CALM_SECONDS = 45.0
"""After each eighth step: lost requests are a fault's for some time after it, so that only a longer calm tells whether
clients lose some without a fault."""
_STEPS_TO_LONG_CALM = 8
_SHARE_OF_PAIRS = 0.35


@dataclass(frozen=True)
class ScheduledStep:
    """One fault, or two together.

    Attributes:
        at_seconds: since the schedule's begin.
        seconds: how long it lasts.
        calm_seconds: how long nothing happens afterwards.
    """

    at_seconds: float
    seconds: float
    faults: tuple[PlannedFault, ...]
    calm_seconds: float = CALM_SECONDS


@dataclass(frozen=True)
class ChaosSchedule:
    """All steps of a run, in order.

    Attributes:
        minutes: until the last step begins.
    """

    seed: int
    minutes: float
    steps: tuple[ScheduledStep, ...]


def make_schedule(seed: int, minutes: float) -> ChaosSchedule:
    """The schedule of a seed: the beginning of a longer one of the same seed.

    Each kind has its turn before any has its second, so that a long run has all of them.
    """
    rng = random.Random(seed)
    kinds = _Kinds(rng)
    at_seconds = 0.0
    steps: list[ScheduledStep] = []
    while at_seconds < minutes * 60:
        faults = _choose(rng, kinds)
        least = max(FAULT_KINDS[each.kind].seconds for each in faults)
        pauses = [float(each.value) for each in faults if each.is_pause]
        seconds = max(pauses) if len(pauses) == len(faults) else max(least, *pauses, _seconds(rng))
        calm = CALM_SECONDS if (len(steps) + 1) % _STEPS_TO_LONG_CALM else LONG_CALM_SECONDS
        steps.append(ScheduledStep(round(at_seconds, 1), seconds, faults, calm))
        at_seconds += seconds + calm
    return ChaosSchedule(seed, minutes, tuple(steps))


def _seconds(rng: random.Random) -> float:
    return round(rng.uniform(MIN_SECONDS, MAX_SECONDS), 1)


class _Kinds:
    """Names of kinds without end: all of them in a random order, each as often as its weight, then again."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._left: list[str] = []

    def next(self) -> str:
        if not self._left:
            self._left = [name for name, kind in FAULT_KINDS.items() for _ in range(kind.weight)]
            self._rng.shuffle(self._left)
            self._left.sort(key=_Turns().of)
        return self._left.pop(0)

    def put_back(self, name: str) -> None:
        self._left.insert(0, name)


class _Turns:
    """Which turn of its kind a name is: 1 for the first."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def of(self, name: str) -> int:
        self._seen[name] = self._seen.get(name, 0) + 1
        return self._seen[name]


def _choose(rng: random.Random, kinds: _Kinds) -> tuple[PlannedFault, ...]:
    first = kinds.next()
    fault = FAULT_KINDS[first].make(first, rng)
    if FAULT_KINDS[first].alone or rng.random() > _SHARE_OF_PAIRS:
        return (fault,)
    second = kinds.next()
    if FAULT_KINDS[second].alone or second == first:
        kinds.put_back(second)
        return (fault,)
    return fault, FAULT_KINDS[second].make(second, rng)


def scripted(
    seed: int, faults: Sequence[tuple[float, Sequence[PlannedFault]]], *, calm_seconds: float = CALM_SECONDS
) -> ChaosSchedule:
    """A schedule of chosen steps.

    Args:
        faults: seconds and faults of each step.
        calm_seconds: after each step.
    """
    at_seconds = 0.0
    steps: list[ScheduledStep] = []
    for seconds, together in faults:
        steps.append(ScheduledStep(at_seconds, seconds, tuple(together), calm_seconds))
        at_seconds += seconds + calm_seconds
    return ChaosSchedule(seed, round(at_seconds / 60, 2), tuple(steps))


def write_schedule(schedule: ChaosSchedule, path: Path) -> None:
    """As JSON, a step a line, so that a person can shorten it."""
    lines = [json.dumps({"seed": schedule.seed, "minutes": schedule.minutes})]
    lines += (json.dumps(asdict(step)) for step in schedule.steps)
    path.write_text("\n".join(lines) + "\n")


def read_schedule(path: Path) -> ChaosSchedule:
    """What `write_schedule` wrote.

    Raises:
        ValueError: the file is something else, or names a kind of fault that there is not.
    """
    try:
        head, *rest = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
        steps = tuple(_step(each) for each in rest)
        return ChaosSchedule(int(head["seed"]), float(head["minutes"]), steps)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no schedule: {error}") from error


def _step(document: dict[str, object]) -> ScheduledStep:
    faults = tuple(PlannedFault(**each) for each in document["faults"])  # type: ignore[attr-defined]
    if unknown := [each.kind for each in faults if each.kind not in FAULT_KINDS]:
        raise ValueError(f"no such kind of fault: {', '.join(unknown)}")
    at_seconds, seconds, calm = document["at_seconds"], document["seconds"], document.get("calm_seconds", CALM_SECONDS)
    return ScheduledStep(float(at_seconds), float(seconds), faults, float(calm))  # type: ignore[arg-type]
