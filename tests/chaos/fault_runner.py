"""Carries a schedule out: each step's faults begin together, each in a thread of its own, and all have ended before the
calm."""

import threading
import time
from dataclasses import replace

from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.cluster.record_epochs import RecordEpochs
from tests.chaos.consequences import hurts_control, unreachable_hosts
from tests.chaos.fault_kinds import PlannedFault
from tests.chaos.faults.injectors import injector_of
from tests.chaos.history import FAIL, INFO, INVOKE, OK, History
from tests.chaos.schedule import ChaosSchedule, ScheduledStep
from tests.chaos.violation import ActiveFault
from tests.chaos.workload.hostile_agent import HostileAgent

FAULTS = "faults"


class FaultRunner:
    """Attributes:
    injected: the faults as they were, with what they excuse.
    errors: faults that could not be injected, or not be ended: the run says little then.
    """

    def __init__(self, cluster: ChaosCluster, history: History, evil: HostileAgent, epochs: RecordEpochs) -> None:
        self.injected: list[ActiveFault] = []
        self.errors: list[str] = []
        self._cluster = cluster
        self._history = history
        self._evil = evil
        self._epochs = epochs
        self._lock = threading.Lock()

    def run(self, schedule: ChaosSchedule) -> None:
        """All steps. Returns after the last one's calm."""
        for number, step in enumerate(schedule.steps, 1):
            text = ", ".join(map(str, step.faults))
            print(f"{number:3}/{len(schedule.steps)}  {step.seconds:4.1f} s  {text}", flush=True)
            self._run_step(step)
            time.sleep(step.calm_seconds)

    def _run_step(self, step: ScheduledStep) -> None:
        faults = [replace(each, target=self._cluster.resolve(each.target)) for each in step.faults]
        unreachable = unreachable_hosts(faults)
        threads = [
            threading.Thread(target=self._inject, args=(fault, step.seconds, unreachable), name=str(fault))
            for fault in faults
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _inject(self, fault: PlannedFault, seconds: float, unreachable: frozenset[str]) -> None:
        seconds = min(seconds, float(fault.value)) if fault.is_pause else seconds
        self._history.add(FAULTS, INVOKE, fault.kind, str(fault))
        begun = time.time()
        try:
            with injector_of(fault.kind, self._evil, self._epochs)(self._cluster, fault):
                self._history.add(FAULTS, INFO, fault.kind, str(fault))
                time.sleep(max(0.0, begun + seconds - time.time()))
        except Exception as error:  # a fault that fails must not end the run: the others are still to be healed
            with self._lock:
                self.errors.append(f"{fault}: {type(error).__name__} {error}")
            self._history.add(FAULTS, FAIL, fault.kind, str(fault), str(error))
        else:
            self._history.add(FAULTS, OK, fault.kind, str(fault))
        made = ActiveFault(str(fault), begun, time.time(), unreachable, hurts_control(fault))
        with self._lock:
            self.injected.append(made)
