"""The short form of `make chaos`: three managers and five nodes under the faults that have found most."""

from pathlib import Path

import pytest

from tests.chaos.fault_kinds import ETCD_LEADER, LEADER, PlannedFault
from tests.chaos.report import report_text
from tests.chaos.run import ChaosOptions, run_chaos
from tests.chaos.schedule import scripted

IMAGES = Path(__file__).parents[3] / "build" / "images"
SLOWNESS = 3.0
"""Other programs may run beside this one."""

STEPS = (
    (8.0, [PlannedFault("pause-manager", LEADER, "8")]),
    (6.0, [PlannedFault("kill-manager", LEADER)]),
    (8.0, [PlannedFault("pause-etcd", ETCD_LEADER, "8")]),
    (10.0, [PlannedFault("partition-agent", "h3/m1", "in"), PlannedFault("loss", "h2", "30")]),
    (
        8.0,
        [
            PlannedFault("crash-agent", "h4", "agent.recover.links"),
            PlannedFault("crash-agent", "h5", "agent.journal.written"),
        ],
    ),
    (5.0, [PlannedFault("etcd-no-space")]),
)


@pytest.mark.timeout(900)
def test_nothing_is_lost_and_nothing_is_double_under_faults(tmp_path: Path) -> None:
    schedule = scripted(seed=1, faults=STEPS, calm_seconds=6.0)
    report = run_chaos(ChaosOptions(schedule, tmp_path, IMAGES, SLOWNESS))
    assert report.passed, report_text(report)
    assert len(report.faults) == sum(len(together) for _, together in STEPS)
    assert report.writes.acknowledged and report.events, "the checker has seen a cluster at work"
