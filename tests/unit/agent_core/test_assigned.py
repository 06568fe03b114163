"""What an agent knows after messages: increments and snapshots lead to the same, and say exactly what they changed."""

from hypothesis import given
from hypothesis import strategies as st

from agent.worker.assigned import Assigned
from agent.worker.table_change import TableChange
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


def told(assigned: Assigned) -> TableChange:
    """A copy, since it goes on."""
    return assigned.tables()


@given(st.lists(MESSAGES, max_size=8))
def test_changes_in_a_row_make_what_is_known(messages: list[Assignments]) -> None:
    assigned, sum_of_changes = Assigned(), TableChange()
    for message in messages:
        before = told(assigned)
        change = assigned.take(message).tables
        sum_of_changes = sum_of_changes.then(change)
        assert all(before.peers.get(key) != value for key, value in change.peers.items())
        assert all(before.endpoints.get(key) != value for key, value in change.endpoints.items())
    after = told(assigned)
    assert {key: value for key, value in sum_of_changes.peers.items() if value is not None} == after.peers
    assert {key: value for key, value in sum_of_changes.endpoints.items() if value is not None} == after.endpoints


@given(st.lists(MESSAGES, max_size=4), PEERS, ENDPOINTS)
def test_a_snapshot_leaves_nothing_of_before(
    messages: list[Assignments], peers: list[Peer], endpoints: list[TaskEndpoint]
) -> None:
    assigned, fresh = Assigned(), Assigned()
    for message in messages:
        assigned.take(message)
    snapshot = Assignments(snapshot=True, peers=peers, endpoints=endpoints)
    assigned.take(snapshot)
    fresh.take(snapshot)
    assert told(assigned) == told(fresh)
    assert not assigned.take(snapshot).tables


def test_revisions_stay_as_long_as_a_task_runs_them() -> None:
    assigned = Assigned()
    task = Task(id="t", service_id="s", revision=1)
    taken = assigned.take(Assignments(tasks=[task], revisions=[ServiceRevision(service_id="s", number=1)]))
    assert taken.tasks == {"t": task} and set(assigned.revisions) == {"s/1"}
    assert not assigned.take(Assignments(tasks=[task])).tasks
    assert assigned.take(Assignments(removed_tasks=["t", "unknown"])).tasks == {"t": None}
    assert not assigned.revisions and not assigned.tasks
