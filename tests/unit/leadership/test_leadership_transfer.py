"""When a leader has another manager end its term."""

import asyncio
from collections.abc import Mapping

import pytest

from manager.leadership import leadership_transfer
from manager.leadership.leadership_transfer import LeadershipTransfer
from shoal.errors import Unavailable

OTHERS = {"two": "192.0.2.2:7440", "three": "192.0.2.3:7440"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership_transfer, "PROBE_SECONDS", 0.001)


async def ended_by(answers: str, *, others: Mapping[str, str] = OTHERS, able: str = "") -> tuple[str, list[str]]:
    """Which manager has ended the term by the time that etcd has been probed so often, and the addresses asked.

    Args:
        answers: of the probes: "+" etcd responds, "-" it does not.
        able: address of the manager that can end it.
    """
    left, asked = list(answers), list[str]()

    async def responds(_: float) -> bool:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0) == "+"

    async def end_term(address: str, lease: int) -> None:
        assert lease == 7
        asked.append(address)
        if address != able:
            raise Unavailable("etcd does not respond here either")
        await asyncio.sleep(0.01)

    transfer = LeadershipTransfer(responds=responds, others=lambda: others, end_term=end_term)
    try:
        async with asyncio.timeout(0.2):
            return await transfer.run(7), asked
    except TimeoutError:
        return "", asked


@pytest.mark.parametrize("answers", ["++++", "+-+-+", "-+++"])
def test_no_manager_is_asked_while_etcd_responds(answers: str) -> None:
    assert asyncio.run(ended_by(answers, able=OTHERS["two"])) == ("", [])


def test_the_first_manager_that_can_ends_the_term() -> None:
    found, asked = asyncio.run(ended_by("+--", able=OTHERS["three"]))
    assert found == "three"
    assert sorted(asked) == sorted(OTHERS.values())


def test_they_are_asked_again_while_etcd_stays_silent() -> None:
    found, asked = asyncio.run(ended_by("----"))
    assert not found
    assert len(asked) == 3 * len(OTHERS)


def test_alone_it_goes_on_leading() -> None:
    assert asyncio.run(ended_by("-----", others={})) == ("", [])
