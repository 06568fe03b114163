"""Managers' own etcds are upgraded from Debian 12's 3.4 to Debian 13's 3.5, one after the other, under writes."""

import asyncio
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from manager.etcd.data_release import load_data_release, program_release
from manager.etcd.releases import DataRelease, EtcdRelease
from manager.etcd.server import EtcdServer
from manager.store.backend import OutcomeUnknown, Put
from shoal.errors import Timeout, Unavailable
from shoal.state_format import WrongRelease
from tests.contract.store.own_etcds import Cluster, RunningManager, cluster
from tests.polling import until

TOP = Path(__file__).parents[3]
OLD, NEW = (TOP / "build" / "etcd" / suite / "usr" / "bin" / "etcd" for suite in ("bookworm", "trixie"))
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module", autouse=True)
def etcds() -> None:
    """Both releases, whichever one this machine has."""
    subprocess.run(["sh", TOP / "tests" / "upgrade" / "etcd_releases.sh"], check=True)


class Writer:
    """Writes one key after the other; remembers which were acknowledged."""

    def __init__(self, managers: Cluster) -> None:
        self._managers = managers
        self.acknowledged: list[bytes] = []

    async def run(self) -> None:
        number = 0
        while True:
            number += 1
            key = f"/upgrade/{number:06}".encode()
            with suppress(Unavailable, Timeout, OutcomeUnknown):
                await self._managers.others["m2"].client.txn((), [Put(key, b"1")])
                self.acknowledged.append(key)
            await asyncio.sleep(0.02)


async def install(program: Path, root: Path, manager: RunningManager) -> None:
    """As an operator does on one host: another etcd, and the manager's starts again."""
    link = root / "etcd"
    link.unlink()
    link.symlink_to(program)
    await manager.server.restart()
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with suppress(Unavailable):
                await manager.client.read([b"/"])
                return
            await asyncio.sleep(0.05)


async def written_down(manager: RunningManager, member: EtcdRelease, cluster_release: EtcdRelease) -> None:
    """The file beside the data says so, within some seconds."""
    expected = DataRelease(member, EtcdRelease(*cluster_release.line, 0))
    await until(lambda: load_data_release(manager.server.directory) == expected, seconds=WAIT_SECONDS)


def files_of(directory: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.stat().st_size, each.stat().st_mtime_ns) for each in directory.rglob("*")}


@pytest.mark.timeout(390)
def test_etcd_is_upgraded_one_by_one_and_no_downgrade_touches_the_data(tmp_path: Path) -> None:
    (tmp_path / "etcd").symlink_to(OLD)

    async def scenario() -> None:
        old, new = await program_release(str(OLD)), await program_release(str(NEW))
        assert (old.line, new.line) == ((3, 4), (3, 5))
        async with cluster(tmp_path) as managers:
            for name in ("m2", "m3"):
                await managers.join(name)
            first, second, third = managers.first, managers.others["m2"], managers.others["m3"]
            writer = Writer(managers)
            writing = asyncio.create_task(writer.run())
            await written_down(third, old, old)
            await install(NEW, tmp_path, third)
            assert await third.client.version() == str(new)
            await written_down(third, new, old)
            # As long as one of them is older, all can go back.
            await install(OLD, tmp_path, third)
            assert await third.client.version() == str(old)
            for each in (third, second, first):
                await install(NEW, tmp_path, each)
            for each in (first, second, third):
                await written_down(each, new, new)
            writing.cancel()
            assert len(writer.acknowledged) > 20
            for each in (first, second, third):
                found = await each.client.range(b"/upgrade/", b"/upgrade0")
                assert set(writer.acknowledged) <= {record.key for record in found.records}
            # A manager that joins now copies the data with the new release.
            assert (await managers.join("m4")).server.release == str(new)

    asyncio.run(scenario())
    before = files_of(tmp_path / "m3" / "etcd" / "data")
    server = EtcdServer(tmp_path / "m3", program=str(OLD), unsafe_no_fsync=True)
    with pytest.raises(
        WrongRelease, match=r"etcd 3\.4\.\d+ is older than the cluster, .* Install etcd 3\.5\.\d+ or a later"
    ):
        asyncio.run(server.run())
    assert files_of(tmp_path / "m3" / "etcd" / "data") == before
