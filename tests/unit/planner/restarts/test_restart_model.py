"""One task's life and its successors': containers end, managers and etcd come and go, the agent is killed, at any step.

Real are the agent's worker, journal, session and queue of statuses, and the managers' stores, writers of statuses,
sessions and planners; of the host, the network and etcd there are fakes. Whatever happens: no two containers of the
slot run; each end is followed by its node or by the planner, and by one of them; attempts stay within the policy's
bound.
"""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from manager.store.kinds import TASK_STATUS
from shoal.api.v1.service_pb2 import RestartPolicy
from tests.fakes.virtual_time import VirtualLoop
from tests.unit.planner.restarts.restart_cluster import NAMES, REACHED, Cluster

POLICIES = st.builds(
    RestartPolicy,
    condition=st.sampled_from([RestartPolicy.ANY, RestartPolicy.ANY, RestartPolicy.ON_FAILURE, RestartPolicy.NONE]),
    delay_ms=st.sampled_from([0, 1_000, 5_000]),
    max_attempts=st.sampled_from([0, 3, 2, 1]),
    window_ms=st.sampled_from([0, 0, 60_000]),
)
WELL = st.sampled_from([True, True, False])
"""Whether all is well before."""
SECONDS = st.sampled_from([0.05, 0.5, 2.0, 9.0, 9.0, 15.0, 70.0])
CODES = st.sampled_from([0, 3, 3, 3])
FATES = st.sampled_from(["under way", "made", "not made", "under way"])
names = st.sampled_from(NAMES)
SILENCE = st.sampled_from([0.5, 15.0, 15.0, 70.0])
"""Seconds; a node decides after some 9."""


class TaskLives(RuleBasedStateMachine):
    """What happens, in any order."""

    cluster: Cluster

    def __init__(self) -> None:
        super().__init__()
        self._loop = VirtualLoop()
        self._directory = TemporaryDirectory()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(work)

    @initialize(policy=POLICIES)
    def begin(self, policy: RestartPolicy) -> None:
        self.cluster = Cluster(Path(self._directory.name), policy)
        self._do(self.cluster.begin())

    @invariant()
    def one_container(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.check()

    # Time.

    @rule(turns=st.integers(1, 12))
    def little_happens(self, turns: int) -> None:
        """Each part goes as far as it can without waiting, or not even so far."""

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self._do(turn())

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    # The host.

    @rule(well=WELL, code=CODES, turns=st.integers(0, 60), loss=st.sampled_from(["managers", "ways", "etcd", "agent"]))
    def program_ends_while_a_part_is_lost(self, well: bool, code: int, turns: int, loss: str) -> None:
        """Just before, or just after."""
        self._make_well(well)
        self._do(self._end(code))
        self.little_happens(turns)
        self._lose(loss)

    @rule(
        well=WELL,
        codes=st.lists(CODES, min_size=1, max_size=3),
        loss=st.sampled_from(["managers", "ways", "etcd"]),
        seconds=SILENCE,
    )
    def program_ends_after_a_loss(self, well: bool, codes: list[int], loss: str, seconds: float) -> None:
        """Of all managers, for the agent."""
        self._make_well(well)
        self._lose(loss)
        self.time_passes(9.0)
        for code in codes:
            self._do(self._end(code))
            self.time_passes(seconds)

    @rule(well=WELL, code=CODES, arrives=st.booleans(), killed=st.booleans(), seconds=SILENCE)
    def end_is_sent_and_its_answer_lost(
        self, well: bool, code: int, arrives: bool, killed: bool, seconds: float
    ) -> None:
        self._make_well(well)
        self.connections_stall(stalled=True)
        self._do(self._end(code))
        self.time_passes(0.5)
        if killed:
            self._restart_agent()
        self.cluster.host.unreachable.update(NAMES)
        self.connections_are_cut(arrives=arrives)
        self.time_passes(seconds)

    @rule(
        well=WELL,
        code=CODES,
        fate=FATES,
        killed=st.booleans(),
        cut=st.sampled_from([(), ("m1",), ("m2",)]),
        seconds=SILENCE,
    )
    def end_is_written_and_etcd_lost(
        self, well: bool, code: int, fate: str, killed: bool, cut: tuple[str, ...], seconds: float
    ) -> None:
        self._make_well(well)
        for name in NAMES:
            self.answer_of_etcd_is_lost(name, fate)
        self._do(self._end(code))
        self.time_passes(0.3)
        for name in NAMES:
            self.answers_of_etcd_arrive(name)
        self.majority_of_etcd(lost=True)
        if killed:
            self._restart_agent()
        if cut:
            self.cluster.host.unreachable.update(cut)
            self.connections_are_cut(arrives=False)
        self.time_passes(seconds)

    @rule(turns=st.integers(0, 40))
    def session_is_opened_and_lost(self, turns: int) -> None:
        """Perhaps before anything was sent in it."""

        async def open_session() -> None:
            self.cluster.accepted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(4.0):
                    await self.cluster.accepted.wait()
            for _ in range(turns):
                await asyncio.sleep(0)

        self.cluster.host.unreachable.clear()
        self._do(open_session())
        self._lose("ways")

    @rule(codes=st.lists(CODES, min_size=1, max_size=2), seconds=st.sampled_from([0.5, 9.0, 70.0, 70.0]))
    def program_ends_while_all_is_well(self, codes: list[int], seconds: float) -> None:
        self._make_well(well=True)
        for code in codes:
            self.time_passes(seconds)
            self._do(self._end(code))
            self.time_passes(9.0)

    @rule(loss=st.sampled_from(["managers", "ways", "etcd"]))
    def a_loss_is_repaired(self, loss: str) -> None:
        """For the most part."""
        if loss == "ways":
            self.cluster.host.unreachable.clear()
        elif loss == "etcd":
            self.majority_of_etcd(lost=False)
        elif not self.cluster.etcd.away:
            self.manager_is_started("m2")
            self._do(self.cluster.elect())

    def _make_well(self, well: bool) -> None:
        if well:
            self._do(self.cluster.renew())

    def _restart_agent(self) -> None:
        if self.cluster.host.is_up:
            self.agent_is_killed()
        self.agent_is_started()

    async def _end(self, code: int) -> None:
        for task_id in self.cluster.host.running():
            self.cluster.host.end(task_id, code)

    def _lose(self, what: str) -> None:
        match what:
            case "managers":
                self.all_managers_are_killed()
            case "etcd":
                self.majority_of_etcd(lost=True)
            case "agent" if self.cluster.host.is_up:
                self.agent_is_killed()
            case "ways":
                self.cluster.host.unreachable.update(NAMES)
                self.connections_are_cut(arrives=True)

    @precondition(lambda self: self.cluster.host.is_up)
    @rule()
    def agent_is_killed(self) -> None:
        self._do(self.cluster.host.kill())

    @precondition(lambda self: not self.cluster.host.is_up)
    @rule()
    def agent_is_started(self) -> None:
        self._do(self.cluster.host.start())

    # Managers.

    @rule(name=names)
    def manager_is_killed(self, name: str) -> None:
        if self.cluster.managers[name] is not None:
            self._do(self.cluster.kill_manager(name))

    @rule(name=names)
    def manager_is_started(self, name: str) -> None:
        if self.cluster.managers[name] is None and not self.cluster.etcd.away:
            self._do(self.cluster.start_manager(name))

    @rule()
    def all_managers_are_killed(self) -> None:
        for name, manager in self.cluster.managers.items():
            if manager is not None:
                self._do(self.cluster.kill_manager(name))

    @precondition(lambda self: not self.cluster.etcd.away)
    @rule()
    def leader_is_elected(self) -> None:
        self._do(self.cluster.elect())

    @rule(lost=st.booleans())
    def majority_of_etcd(self, lost: bool) -> None:
        async def change() -> None:
            self.cluster.etcd.lose_majority() if lost else self.cluster.etcd.regain_majority()

        self._do(change())

    @rule(name=names, fate=FATES)
    def answer_of_etcd_is_lost(self, name: str, fate: str) -> None:
        """Of the manager's next write of a status."""
        manager = self.cluster.managers[name]
        if manager is None:
            return
        if fate == "under way":
            manager.backend.hold(lambda writes: any(_is_status(each.key) for each in writes))
        else:
            manager.backend.lose_answer(made=fate == "made")

    @rule(name=names)
    def answers_of_etcd_arrive(self, name: str) -> None:
        """From now on."""
        if (manager := self.cluster.managers[name]) is not None:
            manager.backend.lose_no_more()

    @precondition(lambda self: not self.cluster.etcd.away)
    @rule(name=names)
    def etcd_makes_what_is_under_way(self, name: str) -> None:
        self._do(self.cluster.make_late_writes(name))

    # Connections.

    @rule(name=names)
    def way_to_a_manager(self, name: str) -> None:
        """It is closed, or open again; connections stay."""
        self.cluster.host.unreachable ^= {name}

    @rule(arrives=st.booleans())
    def connections_are_cut(self, arrives: bool) -> None:
        for stream in self.cluster.streams:
            stream.cut(arrives=arrives)
        self.cluster.streams.clear()

    @rule(stalled=st.booleans())
    def connections_stall(self, stalled: bool) -> None:
        for stream in self.cluster.streams:
            stream.stall() if stalled else stream.resume()

    @rule()
    def all_is_well(self) -> None:
        self._do(self.cluster.calm())

    def teardown(self) -> None:
        try:
            if hasattr(self, "cluster"):
                self._do(self.cluster.calm())
        finally:
            if hasattr(self, "cluster"):
                self._do(self.cluster.close())
            self._loop.close()
            self._directory.cleanup()


def _is_status(key: bytes) -> bool:
    return key.startswith(TASK_STATUS.key("").rstrip(b"/"))


EXAMPLES, STEPS = (2_000, 60) if os.environ.get("HYPOTHESIS_PROFILE") == "random" else (35, 25)


def test_each_end_is_followed_by_one() -> None:
    REACHED.clear()
    run_state_machine_as_test(
        TaskLives,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    missing = {
        "restarts by the node",
        "restarts by the planner",
        "ends after a restart by the node",
        "services that run",
        "services that are given up",
        "late writes of statuses",
    } - {what for what, number in REACHED.items() if number}
    assert not missing, f"no example has had {missing}"
