"""Messages between the agent and a build program."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build.frames import MAX_FRAME_BYTES, ProgramSettings, decode_error, encode_error, frame, read_frame
from shoal.errors import Busy, Exhausted, Fault, InvalidInput, NotFound, ShoalError, Unavailable

SETTINGS = ProgramSettings(
    build_id="b", work="/w", base="/b", filters="/f", filter_environment="6.1",
    oci_program="/usr/bin/crun", cgroup_parent="/shoal/n",
    hidden_mount="", cache_mounts="/m", contexts="/c", run="/r", registries_file="/x", image_repository="",
    platform=("linux", "arm64", "v8"), cpus=2, resolv_conf="nameserver 1.1.1.1\n",
)  # fmt: skip


async def read_all(data: bytes) -> list[tuple[bytes, bytes]]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = []
    while (message := await read_frame(reader)) is not None:
        found.append(message)
    return found


@given(st.lists(st.tuples(st.sampled_from([b"A", b"I"]), st.binary(max_size=100))))
def test_messages_are_as_they_were_sent(messages: list[tuple[bytes, bytes]]) -> None:
    assert asyncio.run(read_all(b"".join(frame(*each) for each in messages))) == messages


@pytest.mark.parametrize("data", [b"A", frame(b"A", b"12345")[:-1], b"A" + (MAX_FRAME_BYTES + 1).to_bytes(4, "big")])
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(read_all(data))


def test_settings_are_as_they_were_sent() -> None:
    assert ProgramSettings.parse(SETTINGS.encode()) == SETTINGS


@pytest.mark.parametrize(
    "error", [NotFound("gone"), Exhausted("full"), InvalidInput([Fault("Dockerfile:2", "bad"), Fault("", "x")])]
)
def test_errors_are_as_they_were_raised(error: ShoalError) -> None:
    found = decode_error(encode_error(error))
    assert type(found) is type(error) and str(found) == str(error)
    if isinstance(error, InvalidInput) and isinstance(found, InvalidInput):
        assert found.faults == error.faults


def test_an_error_of_a_kind_of_its_own_is_its_nearest() -> None:
    assert type(decode_error(encode_error(Busy("later", 1.0)))) is Exhausted
