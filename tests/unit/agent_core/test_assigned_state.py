"""What an agent knows after messages: increments and snapshots lead to the same, and say exactly what they changed."""

from hypothesis import given
from hypothesis import strategies as st

from agent.assignments.assigned_state import AssignedState
from agent.assignments.cluster_diff import ClusterDiff
from shoal.api.v1.dispatcher_pb2 import Assignments, Peer, TaskEndpoint
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task

KEYS = st.sampled_from(["a", "b", "c"])
PEERS = st.lists(st.builds(Peer, node_id=KEYS, address=KEYS), max_size=3, unique_by=lambda each: each.node_id)
ENDPOINTS = st.lists(
    st.builds(TaskEndpoint, task_id=KEYS, ready=st.booleans()), max_size=3, unique_by=lambda each: each.task_id
)
MESSAGES = st.builds(
    Assignments,
    snapshot=st.booleans(),
    peers=PEERS,
    endpoints=ENDPOINTS,
    removed_peers=st.lists(KEYS, max_size=1),
    removed_endpoints=st.lists(KEYS, max_size=1),
)


def reported(assigned: AssignedState) -> ClusterDiff:
    """A copy, since it goes on."""
    return assigned.as_diff()


@given(st.lists(MESSAGES, max_size=8))
def test_changes_in_a_row_make_what_is_known(messages: list[Assignments]) -> None:
    assigned, sum_of_changes = AssignedState(), ClusterDiff()
    for message in messages:
        before = reported(assigned)
        change = assigned.apply(message).cluster
        sum_of_changes = sum_of_changes.merge(change)
        assert all(before.peers.get(key) != value for key, value in change.peers.items())
        assert all(before.endpoints.get(key) != value for key, value in change.endpoints.items())
    after = reported(assigned)
    assert {key: value for key, value in sum_of_changes.peers.items() if value is not None} == after.peers
    assert {key: value for key, value in sum_of_changes.endpoints.items() if value is not None} == after.endpoints


@given(st.lists(MESSAGES, max_size=4), PEERS, ENDPOINTS)
def test_a_snapshot_leaves_nothing_of_before(
    messages: list[Assignments], peers: list[Peer], endpoints: list[TaskEndpoint]
) -> None:
    assigned, fresh = AssignedState(), AssignedState()
    for message in messages:
        assigned.apply(message)
    snapshot = Assignments(snapshot=True, peers=peers, endpoints=endpoints)
    assigned.apply(snapshot)
    fresh.apply(snapshot)
    assert reported(assigned) == reported(fresh)
    assert not assigned.apply(snapshot).cluster


def test_revisions_stay_as_long_as_a_task_runs_them() -> None:
    assigned = AssignedState()
    task = Task(id="t", service_id="s", revision=1)
    taken = assigned.apply(Assignments(tasks=[task], revisions=[ServiceRevision(service_id="s", number=1)]))
    assert taken.tasks == {"t": task} and set(assigned.revisions) == {"s/1"}
    assert not assigned.apply(Assignments(tasks=[task])).tasks
    assert assigned.apply(Assignments(removed_tasks=["t", "unknown"])).tasks == {"t": None}
    assert not assigned.revisions and not assigned.tasks
