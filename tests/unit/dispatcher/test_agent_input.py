"""Whatever an agent sends is within bounds when it is stored, or ends the agent's own session."""

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.dispatcher.sessions import agent_input
from shoal.api.v1.dispatcher_pb2 import OrphanReport, VolumeReport
from shoal.api.v1.node_pb2 import HostDevices, HostListener, NetworkCondition, NodeDescription, OverlayKey
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.api.v1.volume_pb2 import LocalVolume
from shoal.errors import Exhausted, InvalidInput
from shoal.ids import is_id
from tests.fakes.any_message import any_message

NOW_MS = 1_700_000_000_000
STATUS_BYTES = 16 * 1024
SEEDS = st.integers(0, 1 << 32)


def scalars(message: Message) -> list[tuple[str, Any]]:
    """Every value in a message, with its field's name."""
    found: list[tuple[str, Any]] = []
    for field, value in message.ListFields():
        values = list(value) if field.is_repeated else [value]
        if field.is_repeated and not isinstance(message, VolumeReport):
            assert len(values) <= agent_input.MAX_ENTRIES_OF.get(field.full_name, agent_input.MAX_ENTRIES)
        for each in values:
            found += scalars(each) if isinstance(each, Message) else [(field.name, each)]
    return found


def check(message: Message) -> None:
    for name, value in scalars(message):
        if isinstance(value, str):
            assert len(value) <= agent_input.MAX_TEXT
            assert value.isprintable()
        elif name.endswith("at_ms"):
            assert 0 <= value <= NOW_MS + agent_input.MAX_CLOCK_SKEW_MS


@settings(deadline=None)
@given(SEEDS)
def test_any_status_is_bounded(seed: int) -> None:
    reported = any_message(TaskStatus, seed)
    kept = agent_input.sanitize_status(reported, NOW_MS)
    check(kept)
    assert kept.ByteSize() <= STATUS_BYTES
    assert kept.health in TaskStatus.Health.values()
    assert all(each.state in TaskState.values() for each in kept.state_history)
    assert agent_input.sanitize_status(kept, NOW_MS) == kept


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_any_description_is_bounded(seed: int) -> None:
    reported = any_message(NodeDescription, seed)
    reported.address, reported.vtep_mac, reported.stream_port = "192.0.2.1", "02:56:00:00:00:01", 1
    reported.ClearField("overlay_keys")
    try:
        kept = agent_input.sanitize_description(reported, NOW_MS)
    except Exhausted:
        return
    check(kept)
    assert kept.ByteSize() <= agent_input.MAX_NODE_BYTES
    assert 0 <= kept.resources.nano_cpus <= agent_input.MAX_NUMBER
    assert agent_input.sanitize_description(kept, NOW_MS) == kept


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_any_condition_is_bounded(seed: int) -> None:
    reported = any_message(NetworkCondition, seed)
    try:
        kept = agent_input.sanitize_condition(reported, NOW_MS)
    except Exhausted:
        return
    check(kept)
    assert kept.ByteSize() <= agent_input.MAX_NODE_BYTES


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_any_report_of_orphans_is_bounded(seed: int) -> None:
    try:
        kept = agent_input.sanitize_orphans(any_message(OrphanReport, seed), NOW_MS)
    except Exhausted:
        return
    check(kept)
    assert all(is_id(each.id) for each in kept.containers)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_no_volume_is_left_out_of_a_report(seed: int) -> None:
    reported = any_message(VolumeReport, seed)
    try:
        kept = agent_input.sanitize_volumes(reported, NOW_MS)
    except Exhausted:
        assert reported.ByteSize() > agent_input.MAX_VOLUMES_BYTES
        return
    check(kept)
    assert (len(kept.volumes), len(kept.publications)) == (len(reported.volumes), len(reported.publications))


def test_what_is_within_bounds_is_kept_as_it_is() -> None:
    reported = TaskStatus(task_id="t1", state=TaskState.RUNNING, at_ms=NOW_MS, message="pulling 3 of 5 layers …", pid=7)
    assert agent_input.sanitize_status(reported, NOW_MS) is reported
    listener = HostListener(protocol=PublishedPort.TCP, port=80, program="nginx")
    condition = NetworkCondition(problems=["a port is taken"], listeners=[listener])
    assert agent_input.sanitize_condition(condition, NOW_MS) == condition
    about = NodeDescription(hostname="h1", address="2001:db8::1", vtep_mac="02:56:00:00:00:01", features=["wireguard"])
    about.overlay_keys.append(OverlayKey(generation=3, public_key=bytes(32), port=51830))
    about.engine_labels["disk"] = "ssd"
    assert agent_input.sanitize_description(about, NOW_MS) == about


def test_as_many_devices_as_agents_tell_of_are_kept_and_no_more() -> None:
    reported = NodeDescription(address="192.0.2.1", devices=HostDevices(paths=[f"/dev/{n:04}" for n in range(1_000)]))
    reported.features.extend(str(number) for number in range(1_000))
    kept = agent_input.sanitize_description(reported, NOW_MS)
    assert list(kept.devices.paths) == [f"/dev/{n:04}" for n in range(512)]
    assert len(kept.features) == 256
    assert len(reported.devices.paths) == 1_000


def test_text_is_one_line_and_cut() -> None:
    reported = TaskStatus(task_id="t1", warning="\x1b[2J" + "x" * 2_000_000, message="a\nb")
    kept = agent_input.sanitize_status(reported, NOW_MS)
    assert kept.message == "a b"
    assert kept.warning.startswith(" [2Jxxx") and len(kept.warning) == agent_input.MAX_TEXT


@pytest.mark.parametrize(
    ("about", "path"),
    [
        (NodeDescription(address="example.com"), "address"),
        (NodeDescription(address="fe80::1%eth0"), "address"),
        (NodeDescription(vtep_mac="02:56"), "vtep_mac"),
        (NodeDescription(stream_port=70_000), "stream_port"),
        (NodeDescription(overlay_keys=[OverlayKey(public_key=b"short", port=1)]), "overlay_keys"),
    ],
)
def test_what_others_would_act_upon_is_refused(about: NodeDescription, path: str) -> None:
    with pytest.raises(InvalidInput, match=path):
        agent_input.sanitize_description(about, NOW_MS)


def test_a_report_of_volumes_is_whole_or_refused() -> None:
    many = [LocalVolume(volume_id=f"v{number}", name="x" * 100) for number in range(10_000)]
    with pytest.raises(Exhausted):
        agent_input.sanitize_volumes(VolumeReport(volumes=many), NOW_MS)


@settings(deadline=None)
@given(st.text(max_size=2000))
def test_text_is_short_and_printable(text: str) -> None:
    shown = agent_input.sanitize_text(text)
    assert len(shown) <= agent_input.MAX_TEXT and shown.isprintable()
