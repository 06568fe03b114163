"""Nodes that are given up: excused by what keeps them from a majority of managers, else found."""

import pytest
from google.protobuf.message import Message

from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeIdentity, NodeSpec, NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.chaos.checks.key_history import ROOT, TASKS, KeyEvent
from tests.chaos.checks.replacements import GRACE_SECONDS, SIMULATED, check_replacements
from tests.chaos.consequences import hurts_control, unreachable_hosts
from tests.chaos.fault_kinds import PlannedFault
from tests.chaos.violation import ActiveFault


def events(hostname: str = "h1", reason: str = "node h1 is down") -> list[KeyEvent]:
    """A node that was READY is DOWN at second 100, and its task is stopped."""
    node = Node(meta=Meta(id="n"), spec=NodeSpec(identity=NodeIdentity(hostname=hostname)))
    running, stopped = TaskState.RUNNING, TaskState.SHUTDOWN
    records: list[tuple[str, Message, float]] = [
        (f"{ROOT}nodes/n/spec", node, 1.0),
        (f"{ROOT}nodes/n/status", NodeStatus(node_id="n", state=NodeStatus.READY), 2.0),
        (f"{TASKS}t", Task(id="t", node_id="n", desired_state=running), 3.0),
        (f"{ROOT}nodes/n/status", NodeStatus(node_id="n", state=NodeStatus.DOWN, message="silent"), 100.0),
        (f"{TASKS}t", Task(id="t", node_id="n", desired_state=stopped, reason=reason), 100.5),
    ]
    return [KeyEvent(number, key, each.SerializeToString(), 1, at) for number, (key, each, at) in enumerate(records)]


def fault(ended: float, *hosts: str) -> ActiveFault:
    return ActiveFault("fault", ended - 10, ended, frozenset(hosts))


def test_a_reachable_node_that_is_given_up_is_found_with_its_task() -> None:
    found = [each.what for each in check_replacements(events(), [])]
    assert found == [
        "node h1 is DOWN (silent), and was reachable",
        "task t on h1 was replaced (node h1 is down), and the node was reachable",
    ]


def test_a_fault_excuses_its_own_hosts_for_a_while() -> None:
    assert list(check_replacements(events(), [fault(99, "h1")])) == []
    assert len(list(check_replacements(events(), [fault(99, "h2")]))) == 2
    assert len(list(check_replacements(events(), [fault(99 - GRACE_SECONDS, "h1")]))) == 2


def test_an_update_is_no_replacement_and_a_hostile_node_is_not_ours() -> None:
    assert len(list(check_replacements(events(reason="replaced by an update"), []))) == 1
    assert list(check_replacements(events(hostname="evil"), [])) == []


def test_a_simulated_node_is_ours_until_it_leaves() -> None:
    assert len(list(check_replacements(events(hostname=f"{SIMULATED}1"), []))) == 2
    assert list(check_replacements(events(hostname=f"{SIMULATED}1"), [fault(99, f"{SIMULATED}1")])) == []


@pytest.mark.parametrize(
    ("faults", "hosts"),
    [
        ([PlannedFault("kill-agent", "h1")], {"h1"}),
        ([PlannedFault("kill-both", "h1/m2")], {"h1"}),
        ([PlannedFault("partition-agent-all", "h1", "in")], {"h1"}),
        ([PlannedFault("partition-agent", "h1/m2", "both")], set()),
        ([PlannedFault("partition-agent", "h1/m2", "both"), PlannedFault("kill-manager", "m1")], {"h1"}),
        ([PlannedFault("partition-agent", "h1/m2", "both"), PlannedFault("kill-manager", "m2")], set()),
        ([PlannedFault("herd")], set()),
        ([PlannedFault("quorum-lost", "m1/m2")], set()),
        ([PlannedFault("pause-manager", "m1", "8"), PlannedFault("loss", "h3", "30")], {"h3"}),
        ([PlannedFault("loss", "m2", "30")], set()),
    ],
)
def test_which_hosts_may_be_given_up(faults: list[PlannedFault], hosts: set[str]) -> None:
    assert unreachable_hosts(faults) == hosts


def test_which_faults_may_delay_writes() -> None:
    assert hurts_control(PlannedFault("pause-etcd", "m1", "8"))
    assert hurts_control(PlannedFault("herd"))
    assert hurts_control(PlannedFault("kill-both", "h1/m2"))
    assert not hurts_control(PlannedFault("kill-agent", "h1"))
    assert not hurts_control(PlannedFault("partition-agent", "h1/m2"))


def test_what_keeps_managers_from_writing_puts_consequences_off() -> None:
    ended = 100.0 - GRACE_SECONDS - 5
    no_space = ActiveFault("etcd-no-space", ended + 3, ended + 11, hurts_control=True)
    assert list(check_replacements(events(), [fault(ended, "h1"), no_space])) == []
    assert len(list(check_replacements(events(), [fault(ended, "h1")]))) == 2
