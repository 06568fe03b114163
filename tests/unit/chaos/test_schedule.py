"""The schedule is a pure function of seed and length, has every kind of fault in time, and can be run again."""

from pathlib import Path

import pytest

from shoal.fault_points.points import POINTS
from tests.chaos.fault_kinds import (
    AGENT_POINTS,
    ELECTED_POINTS,
    FAULT_KINDS,
    JOINER_POINTS,
    MANAGER_POINTS,
    MEMBERSHIP_POINTS,
    PlannedFault,
)
from tests.chaos.faults.injectors import GOING_BACK, INJECTORS
from tests.chaos.schedule import (
    CALM_SECONDS,
    LONG_CALM_SECONDS,
    MAX_SECONDS,
    MIN_SECONDS,
    ChaosSchedule,
    make_schedule,
    read_schedule,
    write_schedule,
)

SEEDS = range(20)


def kinds(schedule: ChaosSchedule) -> list[str]:
    return [fault.kind for step in schedule.steps for fault in step.faults]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_is_the_same_schedule_and_a_longer_one_begins_with_it(seed: int) -> None:
    short, long = make_schedule(seed, 5), make_schedule(seed, 30)
    assert short == make_schedule(seed, 5)
    assert long.steps[: len(short.steps)] == short.steps
    assert make_schedule(seed + 1, 5).steps != short.steps


@pytest.mark.parametrize("seed", SEEDS)
def test_an_hour_has_every_kind_and_a_quarter_of_one_most(seed: int) -> None:
    assert set(kinds(make_schedule(seed, 60))) == set(FAULT_KINDS)
    assert len(set(kinds(make_schedule(seed, 15)))) >= 0.8 * len(FAULT_KINDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_follow_each_other_with_calm_between_them(seed: int) -> None:
    schedule = make_schedule(seed, 60)
    for step, later in zip(schedule.steps, schedule.steps[1:], strict=False):
        assert later.at_seconds == pytest.approx(step.at_seconds + step.seconds + step.calm_seconds, abs=0.2)
    assert {step.calm_seconds for step in schedule.steps} == {CALM_SECONDS, LONG_CALM_SECONDS}
    assert {step.calm_seconds for step in schedule.steps[7::8]} == {LONG_CALM_SECONDS}
    for step in schedule.steps:
        assert 1 <= len(step.faults) <= 2
        is_short = all(fault.is_pause for fault in step.faults)
        assert (3 if is_short else MIN_SECONDS) <= step.seconds <= MAX_SECONDS
        alone = [fault for fault in step.faults if FAULT_KINDS[fault.kind].alone]
        assert not alone or len(step.faults) == 1
    assert any(len(step.faults) == 2 for step in schedule.steps)


def test_a_pause_is_as_long_as_it_says() -> None:
    steps = [step for seed in SEEDS for step in make_schedule(seed, 60).steps]
    alone = [step for step in steps if len(step.faults) == 1 and step.faults[0].is_pause]
    assert alone and all(step.seconds == float(step.faults[0].value) for step in alone)


def test_a_schedule_that_was_written_is_read_back(tmp_path: Path) -> None:
    schedule = make_schedule(7, 10)
    write_schedule(schedule, tmp_path / "schedule.jsonl")
    assert read_schedule(tmp_path / "schedule.jsonl") == schedule


@pytest.mark.parametrize("text", ['{"seed": 1}', '{"seed": 1, "minutes": 1}\n{"at_seconds": 0}'])
def test_another_file_is_no_schedule(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match="is no schedule"):
        read_schedule(tmp_path / "file")


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    step = '{"at_seconds": 0, "seconds": 5, "faults": [{"kind": "meteor", "target": "h1", "value": ""}]}'
    (tmp_path / "file").write_text('{"seed": 1, "minutes": 1}\n' + step)
    with pytest.raises(ValueError, match="meteor"):
        read_schedule(tmp_path / "file")


def test_every_kind_has_an_injector_and_every_point_exists() -> None:
    assert set(INJECTORS) | set(GOING_BACK) | {"hostile-agent"} == set(FAULT_KINDS)
    assert set(AGENT_POINTS + MANAGER_POINTS + ELECTED_POINTS + MEMBERSHIP_POINTS + JOINER_POINTS) <= POINTS
    assert str(PlannedFault("pause-agent", "h1", "3")) == "pause-agent h1 3"
