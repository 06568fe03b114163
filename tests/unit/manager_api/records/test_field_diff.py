"""Differences between two specs by path."""

from manager.records.field_diff import field_changes
from shoal.api.v1.service_pb2 import ServiceSpec


def test_requests_that_are_kept_for_clients_are_no_difference() -> None:
    one, other = ServiceSpec(priority=1, engine_request=b"a"), ServiceSpec(priority=2, engine_request=b"b")
    assert [change.path for change in field_changes(one, other)] == ["priority"]
    other.priority = 1
    assert not field_changes(one, other)
