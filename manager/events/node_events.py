"""Events of nodes, derived from changes of their records and statuses. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import Message

from manager import node_identity
from manager.nodes.node_warnings import NodeWarnings
from manager.records.field_diff import field_changes
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.node_pb2 import NetworkCondition, Node, NodeSpec, NodeStatus
from shoal.node_states import node_state

_FIELDS_NAMED = 8


def events_of(identifier: str, old: Message | None, new: Message | None, view: View, at_ms: int) -> Iterator[Event]:
    """The events of one change of a node's record or status, without their numbers."""
    observed = _Observed(identifier, hostname_of(view, identifier), at_ms)
    if isinstance(new if new is not None else old, Node):
        yield from _node(observed, old, new)
    else:
        yield from _node_status(observed, old, new, view)


def remembered(status: NodeStatus) -> NodeStatus:
    """A copy with what events are made of: some hundred bytes; a status may list all devices and ports of a host."""
    copy = NodeStatus(
        node_id=status.node_id,
        state=status.state,
        message=status.message,
        session_error=status.session_error,
        restart_deadline_ms=status.restart_deadline_ms,
    )
    copy.description.underlay_mtu, copy.description.address = (
        status.description.underlay_mtu,
        status.description.address,
    )
    if status.HasField("reported_identity"):
        copy.reported_identity.CopyFrom(status.reported_identity)
    if status.HasField("network_condition"):
        condition = status.network_condition
        copy.network_condition.problems.extend(condition.problems)
        copy.network_condition.repaired.CopyFrom(condition.repaired)
        copy.network_condition.paths.extend(condition.paths)
    return copy


@dataclass(frozen=True)
class _Observed:
    """The node of a change, and when that was seen, milliseconds since the Unix epoch."""

    identifier: str
    hostname: str
    at_ms: int

    def event(self, action: str, message: str = "") -> Event:
        name = self.hostname
        return Event(
            type="node", action=action, id=self.identifier, name=name, node=name, message=message, at_ms=self.at_ms
        )


def _node(observed: _Observed, old: Message | None, new: Message | None) -> Iterator[Event]:
    if not isinstance(old, Node) or not isinstance(new, Node):
        yield observed.event("create" if old is None else "remove")
        return
    if old.spec.availability != new.spec.availability:
        yield observed.event(NodeSpec.Availability.Name(new.spec.availability or NodeSpec.ACTIVE).lower())
    if old.spec.HasField("identity") and old.spec.identity != new.spec.identity:
        paths = [change.path for change in field_changes(old.spec.identity, new.spec.identity)]
        yield observed.event("update", ", ".join(paths[:_FIELDS_NAMED]))
    if old.spec.labels != new.spec.labels:
        yield observed.event("update", "labels")


def _node_status(observed: _Observed, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    before = old if isinstance(old, NodeStatus) else NodeStatus()
    if not isinstance(new, NodeStatus):
        return
    if new.state != before.state or node_state(new) != node_state(before):
        yield observed.event(node_state(new), new.message)
    if new.session_error and new.session_error != before.session_error:
        yield observed.event("refused", new.session_error)
    if new.reported_identity != before.reported_identity and (node := view.nodes.get(new.node_id)) is not None:
        for claim in node_identity.warnings(node, new):
            yield observed.event("problem", claim)
    if new.description.underlay_mtu != before.description.underlay_mtu:
        for warning in NodeWarnings(view).mtu_warning(new.description):
            yield observed.event("problem", warning)
    yield from _network_condition(observed, before.network_condition, new.network_condition)
    yield from _path_faults(observed, before.network_condition, new.network_condition, view)


def _path_faults(observed: _Observed, old: NetworkCondition, new: NetworkCondition, view: View) -> Iterator[Event]:
    if old.paths == new.paths:
        return
    warnings = NodeWarnings(view)
    before, after = ([warnings.path_warning(each) for each in condition.paths] for condition in (old, new))
    for text in after:
        if text not in before:
            yield observed.event("problem", text)
    for text in before:
        if text not in after:
            yield observed.event("resolved", text)


def _network_condition(observed: _Observed, old: NetworkCondition, new: NetworkCondition) -> Iterator[Event]:
    if new.repaired.at_ms > old.repaired.at_ms:
        number = new.repaired.count - old.repaired.count
        more = f" ({number} times since the last event)" if number > 1 and old.repaired.count else ""
        yield observed.event("network-repaired", f"{new.repaired.description}{more}")
    for problem in new.problems:
        if problem not in old.problems:
            yield observed.event("problem", problem)
    for problem in old.problems:
        if problem not in new.problems:
            yield observed.event("resolved", problem)
