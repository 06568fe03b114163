"""Status and maintenance of the etcds of several managers."""

import asyncio
from collections.abc import Sequence

import pytest

from manager.cluster.managers_etcds import EtcdOfManager, ManagersEtcds
from shoal.api.v1.dispatcher_pb2 import EtcdStatus
from shoal.errors import Timeout, Unavailable

ADDRESSES = {"m1": "one:7440", "m2": "two:7440", "m3": "three:7440"}


class Etcds:
    """One for each address, of which one leads; this manager is m1. Notes what is done, in order."""

    def __init__(self, *, leads: str, down: Sequence[str] = (), refuses: str = "") -> None:
        self.done: list[str] = []
        self._leads, self._down, self._refuses = leads, down, refuses

    async def status(self) -> Sequence[EtcdOfManager]:
        return [EtcdOfManager("its own", "3.5.26", 9, 4, is_leader=self._leads == "one:7440")]

    async def compact_history(self) -> None:
        self.done.append("compact")

    async def defragment(self) -> None:
        self.done.append("one:7440")

    async def clear_alarms(self) -> None:
        self.done.append("clear")

    async def ask(self, address: str) -> EtcdStatus:
        if address in self._down:
            raise Unavailable(f"{address} refused the connection")
        return EtcdStatus(version="3.5.26", database_bytes=9, used_bytes=4, is_leader=address == self._leads)

    async def defragment_at(self, address: str) -> EtcdStatus:
        if address == self._refuses:
            raise Timeout("no answer")
        self.done.append(address)
        return await self.ask(address)


def managers_etcds(etcds: Etcds) -> ManagersEtcds:
    return ManagersEtcds(
        own=etcds, own_id="m1", addresses=lambda: ADDRESSES, status=etcds.ask, defragment=etcds.defragment_at
    )


@pytest.mark.parametrize("leads", ADDRESSES.values())
def test_each_is_defragmented_once_and_the_one_that_leads_last(leads: str) -> None:
    etcds = Etcds(leads=leads)
    found = asyncio.run(managers_etcds(etcds).compact())
    assert etcds.done[0] == "compact" and etcds.done[-1] == "clear"
    assert etcds.done[-2] == leads and sorted(etcds.done[1:-1]) == sorted(ADDRESSES.values())
    assert [(each.endpoint, each.database_bytes, each.problem) for each in found] == [
        (address, 9, "") for address in ADDRESSES.values()
    ]


def test_one_that_does_not_respond_is_told_and_left_out() -> None:
    etcds = Etcds(leads="one:7440", down=["two:7440"])
    found = asyncio.run(managers_etcds(etcds).compact())
    assert etcds.done == ["compact", "three:7440", "one:7440", "clear"]
    assert [each.endpoint for each in found if each.problem] == ["two:7440"]


def test_one_that_refuses_is_named() -> None:
    etcds = Etcds(leads="one:7440", refuses="three:7440")
    with pytest.raises(Unavailable, match="cannot defragment the etcd of the manager at three:7440: no answer"):
        asyncio.run(managers_etcds(etcds).compact())
    assert etcds.done == ["compact", "two:7440"], "the one that leads is left alone then"
