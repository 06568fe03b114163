"""Checks at the end of a run: agreement, convergence, hosts, processes, traffic; and the report."""

from dataclasses import replace
from typing import Any

from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.chaos.checks.agreement import ServiceCount, canonical, check_agreement, records_in_etcd, unconverged
from tests.chaos.checks.hosts import HostFacts, check_host
from tests.chaos.checks.key_history import ROOT, STATUSES, TASKS
from tests.chaos.checks.memory import MemoryGrowth
from tests.chaos.checks.processes import check_etcd, check_log
from tests.chaos.checks.traffic import (
    ClientReport,
    Gap,
    LostRequest,
    WriteSummary,
    check_traffic,
    check_write_gaps,
    longest_gaps,
    longest_write_gaps,
    lost_by_kind,
    reasons,
    summarize,
    summarize_writes,
)
from tests.chaos.history import INFO, INVOKE, OK, Operation
from tests.chaos.report import ChaosReport, Reached, report_text
from tests.chaos.violation import ActiveFault, Violation, with_faults

TASK_ID = "0123456789abc"
EMPTY = frozenset[str]()
SERVICE = Service(meta=Meta(id="s"), spec=ServiceSpec(name="web"))


def test_a_manager_that_answers_otherwise_than_etcd_is_found() -> None:
    etcd = records_in_etcd({f"{ROOT}services/s/spec": SERVICE.SerializeToString()})
    read = Service()
    read.CopyFrom(SERVICE)
    read.meta.version = 17  # set on reading
    key = ("service", "s")
    assert list(check_agreement("m1", {key: canonical(read)}, etcd)) == []
    read.spec.name = "other"
    assert [each.what for each in check_agreement("m1", {key: canonical(read)}, etcd)] == [
        "manager m1 has other bytes of service s"
    ]
    assert [each.what for each in check_agreement("m1", {}, etcd)] == ["manager m1 does not know service s"]
    assert [each.what for each in check_agreement("m1", etcd, {})] == ["manager m1 still has service s"]


def test_devices_are_not_in_lists() -> None:
    about = NodeDescription(hostname="h1")
    about.devices.paths.append("/dev/sda")
    assert canonical(NodeStatus(description=about)) == canonical(NodeStatus(description=NodeDescription(hostname="h1")))


def test_what_has_not_converged_is_named() -> None:
    good = ServiceCount("web", False, 3, 3, 0, "")
    assert unconverged([good, ServiceCount("job", True, 3, 0, 1, "")], {"h1": "ready"}, 1) == []
    assert unconverged([replace(good, running=2), replace(good, problem="no suitable node")], {"h1": "down"}, 2) == [
        "service web has 2 of 3 tasks",
        "service web: no suitable node",
        "node h1 is down",
        "2 managers lead",
    ]


def facts(**more: Any) -> HostFacts:
    own = frozenset({TASK_ID})
    made = HostFacts("h1", own, own, own, frozenset({TASK_ID[1:]}), own, EMPTY, EMPTY, EMPTY, EMPTY)
    return replace(made, tables=frozenset({"table inet shoal"}), **more)


def test_hosts_have_what_should_run_and_nothing_else() -> None:
    task = Task(id=TASK_ID, node_id="n", desired_state=TaskState.RUNNING, state=TaskState.ASSIGNED)
    status = TaskStatus(task_id=TASK_ID, state=TaskState.RUNNING)
    records = {TASKS + TASK_ID: task.SerializeToString(), STATUSES + TASK_ID: status.SerializeToString()}
    assert list(check_host(facts(), records, "n")) == []
    left = {
        "conmons": f"h1: conmon {'x' * 13} is left",
        "cgroups": f"h1: cgroup {'x' * 13} is left",
        "bundles": f"h1: bundle {'x' * 13} is left",
        "root_files": f"h1: root file system {'x' * 13} is left",
        "kept_files": f"h1: container's files {'x' * 13} is left",
        "drafts": f"h1: draft {'x' * 13} is left",
        "mounts": f"h1: mount {'x' * 13} is left",
    }
    for field, text in left.items():
        more = getattr(facts(), field) | {"x" * 13}
        assert [each.what for each in check_host(facts(**{field: more}), records, "n")] == [text]
    more = facts(links=frozenset({TASK_ID[1:], "y"}))
    assert [each.what for each in check_host(more, records, "n")] == ["h1: link y is left"]
    lost = [each.what for each in check_host(facts(conmons=EMPTY), records, "n")]
    assert lost == [f"h1: no conmon of task {TASK_ID}, which runs by the records"]
    assert len(list(check_host(facts(), {}, "n"))) == 5


def test_an_unexpected_error_in_a_log_is_found() -> None:
    lines = ["fine", "Traceback (most recent call last):", '  File "x"', "KeyError: 'node'", "fine"]
    assert [each.what for each in check_log("m1", lines)] == [
        "m1: Traceback (most recent call last): … KeyError: 'node'"
    ]
    assert list(check_log("m1", ["WARNING connection lost"])) == []


def test_an_etcd_that_ends_by_itself_is_found() -> None:
    lines = ["ERROR etcd exited after 3.0 s; restarting it in 0.1 s", "fine"]
    assert list(check_etcd("m1", lines, 1)) == []
    assert [each.what for each in check_etcd("m1", lines, 0)] == [
        "etcd of m1 ended 1 times, killed 0 times; last: ERROR etcd exited after 3.0 s; restarting it in 0.1 s"
    ]


FAULT = ActiveFault("kill-agent h1", 100.0, 110.0)


def client(*lost_at: float) -> dict[str, list[ClientReport]]:
    lost = tuple(LostRequest(at, "new", "h1:80", "refused") for at in lost_at)
    during = ClientReport(104.0, {"new": 2}, (), {})
    return {"mesh": [ClientReport(90.0, {"new": 5}, lost, {"new": [0.5, 89.0]}), during]}


def test_requests_lost_in_calm_are_found_and_others_are_counted() -> None:
    assert list(check_traffic(client(105.0, 118.0), [FAULT], aftermath=10.0)) == []
    assert list(check_traffic(client(98.5), [FAULT], aftermath=10.0)) == []  # under way when the fault began
    assert list(check_traffic(client(97.5), [FAULT], aftermath=10.0)) != []
    (found,) = check_traffic(client(105.0, 121.0), [FAULT], aftermath=10.0)
    assert found.what.startswith("1 requests of client mesh on new connections were lost in calm")
    (new, _) = summarize(client(105.0, 121.0), [FAULT], aftermath=10.0)
    assert (new.answered, new.lost, new.longest_gap) == (7, 2, 0.5)
    assert (new.answered_in_calm, new.lost_in_calm) == (5, 1)


def test_a_long_time_without_an_acknowledgement_is_found_unless_managers_were_hurt() -> None:
    def line(at: float, kind: str) -> Operation:
        return Operation(at, "writer", kind, "scale", 1)

    history = [line(0.0, INVOKE), line(1.0, OK), line(2.0, INFO), line(40.0, OK)]
    assert summarize_writes(history, "writer") == WriteSummary(2, 0, 1, 39.0, 40.0)
    assert [each.what for each in check_write_gaps(history, "writer", [])] == ["no write was acknowledged for 39.0 s"]
    hurting = ActiveFault("herd", 2.0, 8.0, hurts_control=True)
    assert list(check_write_gaps(history, "writer", [hurting])) == []


def test_a_report_names_what_when_and_during_which_fault() -> None:
    found = with_faults([Violation(4, "node h2 is DOWN", 105.0), Violation(5, "not converged", 0.0)], [FAULT])
    writes = WriteSummary(10, 0, 1, 2.5, 50.0)
    report = ChaosReport(3, 5.0, [FAULT], found, [], writes, None, 7)
    text = report_text(report)
    assert "**2 violations, 0 faults not injected.**" in text
    assert "- 4: 00:01:45: node h2 is DOWN (faults: kill-agent h1)\n" in text
    assert "- 5: at the end: not converged\n" in text
    assert "| 4. no reachable node is given up, none of its tasks replaced | 1 |" in text
    assert "not in time" in text
    assert not report.passed
    assert replace(report, violations=[]).passed
    assert not replace(report, violations=[], errors=["clock m1: no library"]).passed


def test_a_report_has_what_a_reader_asks_for() -> None:
    reports = client(105.0, 121.0)
    report = ChaosReport(
        seed=3,
        minutes=5.0,
        faults=[FAULT, replace(FAULT, begun=200.0, ended=208.0)],
        violations=[],
        traffic=summarize(reports, [FAULT], aftermath=10.0),
        writes=WriteSummary(10, 0, 1, 2.5, 50.0),
        convergence_seconds=1.0,
        events=7,
        lost=lost_by_kind(reports, [FAULT], aftermath=10.0),
        reasons=reasons(reports, 5),
        gaps=[Gap("mesh, new", 4.0, 124.0), Gap("writer", 2.5, 50.0)],
        memory=[MemoryGrowth("m1", 2, 1800.0, 80 << 20, 3 << 20, (2 << 20, 80 << 20), 6 << 20)],
        reached=[Reached("h2", "agent.journal.written"), Reached("h1", "agent.journal.written")],
        notes=["herd of 1000 agents"],
    )
    text = report_text(report)
    assert "**Passed.** 2 faults." in text
    assert "| kill-agent | 2 | 18 | 1 |" in text
    assert "| mesh | new | 7 | 2 | 5 | 1 | 0.5 |" in text
    assert "| mesh, new | refused | 2 |" in text
    assert "| mesh, new | 4.0 | 00:02:04 | kill-agent h1 |" in text
    assert "| writer | 2.5 | 00:00:50 |  |" in text
    assert "| m1 | 2 | 30 | 80 | 3.0 | 6.0 |" in text
    assert "| agent.journal.written | 2 | h1, h2 |" in text
    assert "- herd of 1000 agents\n" in text


def test_the_longest_gaps_come_first() -> None:
    reports = {
        "mesh": [ClientReport(1.0, {}, (), {"new": [0.5, 1.0]}), ClientReport(2.0, {}, (), {"kept": [3.0, 2.0]})]
    }
    assert longest_gaps(reports, 1) == [Gap("mesh, kept", 3.0, 2.0)]
    history = [Operation(at, "writer", OK, "scale", 1) for at in (1.0, 2.0, 5.0)]
    assert [each.seconds for each in longest_write_gaps(history, "writer", 5)] == [3.0, 1.0]
