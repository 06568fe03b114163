"""The agent, or the manager at those of its controllers, is killed at each fault point, started again, and has to do
what was asked of it: with nothing left over, and with no container restarted that need not be."""

import pytest

from tests.integration.faults.agent_runs import MANAGER_RUNS, RUNS
from tests.integration.faults.fault_rig import FaultRig

pytestmark = pytest.mark.timeout(390)  # the first one starts the cluster


def test_killed_at(point_of_agent: str, faults: FaultRig) -> None:
    faults.settle()
    with RUNS[point_of_agent](faults) as act:
        faults.arm(f"{point_of_agent}=kill")
        act()
        faults.await_death()
        faults.arm("")
        faults.start_agent()
    faults.check(point_of_agent)


def test_manager_killed_at(point_of_manager: str, faults: FaultRig) -> None:
    faults.settle()
    with MANAGER_RUNS[point_of_manager](faults) as act:
        faults.arm(f"{point_of_manager}=kill")
        act()
        faults.await_death("manager")
        faults.arm("")
        faults.start_manager()
    faults.check(point_of_manager)
