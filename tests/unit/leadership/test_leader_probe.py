"""When a leader's process counts as ended."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from manager.leadership.leader_probe import ConnectionAttempt, connect_once, until_ended

C, R, U = ConnectionAttempt.CONNECTED, ConnectionAttempt.REFUSED, ConnectionAttempt.UNKNOWN


async def ends(*reaches: ConnectionAttempt) -> bool:
    """Whether it counts as ended by the time that all these attempts were made."""
    left = list(reaches)

    async def probe(_: str) -> ConnectionAttempt:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    try:
        async with asyncio.timeout(0.2):
            await until_ended("192.0.2.1:7440", probe=probe, period_seconds=0)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    ("reaches", "ended"),
    [
        ([C, R, R], True),
        ([R, C, C, U, R, R], True),
        ([C, R], False),
        ([C, R, C, R], False),
        ([C, R, U, R], False),  # its host is gone for a moment
        ([C, U, U, U, U], False),  # it hangs, or its host is gone: its lease expires
        ([R, R, R, R, R], False),  # a firewall
    ],
)
def test_ended_is_what_refuses_connections_and_took_them_before(
    reaches: Sequence[ConnectionAttempt], ended: bool
) -> None:
    assert asyncio.run(ends(*reaches)) is ended


def test_a_process_that_listens_is_connected_to_and_one_that_does_not_refuses() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            assert await connect_once(address) is C
        assert await connect_once(address) is R

    asyncio.run(scenario())


def test_an_address_that_is_none_is_not_known() -> None:
    assert asyncio.run(connect_once("nowhere.invalid:7440")) is U
