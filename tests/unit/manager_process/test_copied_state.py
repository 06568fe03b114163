"""Before its etcd starts, a manager asks all others at once whether it runs elsewhere; the first answer counts."""

import asyncio
import json
from pathlib import Path

import pytest

from manager import join_cluster
from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.etcd.layout import EtcdLayout, load_layout, save_layout
from manager.manager_identity import ManagerIdentity
from manager.recover import MANAGERS_FILE
from manager.settings import Settings
from shoal.api.v1.dispatcher_pb2 import GetMembershipResponse
from shoal.errors import Refused
from shoal.identity.identity import Identity
from shoal.identity.keyring import Keyring
from shoal.ids import new_id
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

OWN, ELSEWHERE = "192.0.2.1:7442", "192.0.2.9:7442"
SILENT, STOPPED, ANSWERING = "192.0.2.2:7442", "192.0.2.3:7442", "192.0.2.4:7442"
BOUND_SECONDS = 60.0


async def make_state(directory: Path) -> Settings:
    """Of a manager whose etcd is one of several."""
    async with loaded_store(MemoryEtcd()) as store:
        authority = CertificateAuthority(store=store, keyring=Keyring(bytes(32)), clock=lambda: 2e9, new_id=new_id)
        await authority.bootstrap()
        own = ManagerIdentity(authority=authority, directory=directory / "identity", clock=lambda: 2e9, new_id=new_id)
        assert own.current
    save_layout(directory / "etcd", EtcdLayout("m1", "192.0.2.1:7443", "192.0.2.1:7443"))
    managers = {"m2": SILENT, "m3": STOPPED, "m4": ANSWERING}
    (directory / MANAGERS_FILE).write_text(json.dumps(managers))
    return Settings(state_directory=directory, api_address=OWN, advertise_address="192.0.2.1")


class Others:
    """The other managers: one never answers, one is not there, one says where this manager runs."""

    def __init__(self, running_at: str) -> None:
        self.running_at = running_at
        self.ended = 0

    async def membership(
        self, managers: list[str], own: Identity, manager_id: str, seconds: float
    ) -> GetMembershipResponse | None:
        try:
            if managers == [SILENT]:
                await asyncio.Event().wait()
        finally:
            self.ended += 1
        if managers == [STOPPED]:
            return None
        answer = GetMembershipResponse()
        answer.running.api_address = self.running_at
        return answer


def joins(directory: Path, others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        settings = await make_state(directory)
        monkeypatch.setattr(join_cluster, "_membership", others.membership)
        async with asyncio.timeout(BOUND_SECONDS):
            await join_cluster.join_cluster(settings)

    asyncio.run(scenario())


def test_a_copy_is_refused_although_another_manager_does_not_respond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join_cluster, "LEASE_SECONDS", 0.0)
    others = Others(ELSEWHERE)
    with pytest.raises(Refused, match=f"already runs at {ELSEWHERE}"):
        joins(tmp_path, others, monkeypatch)
    assert others.ended % 3 == 0  # no call is left behind
    assert others.ended > 0


@pytest.mark.parametrize("running_at", ["", OWN])
def test_the_one_that_is_registered_here_or_nowhere_starts(
    tmp_path: Path, running_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Others(running_at)
    joins(tmp_path, others, monkeypatch)
    assert load_layout(tmp_path / "etcd") is not None
    assert others.ended == 3
