"""Three managers: backed up from a follower, all lost, restored into one of them, joined anew. Nothing is forgotten."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.api.v1.control_pb2 import GetBackupScheduleRequest
from tests.contract.backups.s3_service import ACCESS_KEY_ID, BUCKET, SECRET_KEY, s3_service
from tests.integration.manager.manager_process import ManagerProcess, until
from tests.integration.manager.test_managers_that_join import Managers, one_manager
from tests.integration.manager.test_silence import shoal


def manager_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    command = [sys.executable, "-m", "manager.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=environment)


async def ends_with(process: ManagerProcess, code: int, seconds: float) -> None:
    assert process.process is not None
    assert await asyncio.to_thread(process.process.wait, seconds) == code, process.log[-2000:]


@pytest.mark.timeout(390)
def test_a_cluster_that_was_lost_is_restored_into_one_manager_and_grows_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        with s3_service(tmp_path) as service:
            async with one_manager(tmp_path) as managers:
                await managers.join("m2")
                await managers.join("m3")
                for number in range(30):
                    await managers.until_created(f"m{number % 3 + 1}", f"net{number}")
                follower = next(name for name, view in (await managers.views()).items() if not view.leader)
                file = tmp_path / "shoal.backup"
                made = await asyncio.to_thread(shoal, managers.processes[follower], "cluster", "backup", str(file))
                assert made[0] == 0, made[1]
                name = await scheduled(managers, service.endpoint, service.ca)
                await managers.until_created("m1", "after")
                await is_refused_while_managers_run(tmp_path, managers.processes["m1"], file)
                for process in managers.processes.values():
                    process.kill()
                await restore(managers.processes["m1"], f"s3://{BUCKET}/shoal/{name}", service.endpoint, service.ca)
                # The others have their data of before, and are a majority: they serve it until they meet the other.
                for each in ("m2", "m3"):
                    managers.processes[each].start()
                for each in ("m2", "m3"):
                    managers.controls[each] = await managers.processes[each].ready()
                assert "after" in await managers.networks("m2")
                managers.processes["m1"].start()
                managers.controls["m1"] = await managers.processes["m1"].ready()
                for each in ("m2", "m3"):
                    await ends_with(managers.processes[each], 3, 60)
                    assert "was restored from a backup" in managers.processes[each].log
                # One that starts later is told before its etcd starts.
                managers.processes["m2"].start()
                await ends_with(managers.processes["m2"], 3, 60)
                assert await managers.networks("m1") == {f"net{number}" for number in range(30)}
                rejoining = managers.processes["m2"]
                rejoining.more = (*rejoining.more, "--token", await managers.token())
                rejoining.start()
                managers.controls["m2"] = await rejoining.ready()
                await until(lambda: managers.votes("m2"), "m2 votes again")
                await managers.until_created("m2", "grown")
                await managers.until_listed("m1", "grown")

    asyncio.run(scenario())


async def is_refused_while_managers_run(tmp_path: Path, running: ManagerProcess, file: Path) -> None:
    """Also on another host, which has nothing but the cluster key."""
    state = tmp_path / "other" / "manager"
    state.mkdir(parents=True)
    words = ("restore", "--force", "--state-directory", str(state), str(file))
    done = await asyncio.to_thread(manager_command, *words)
    assert done.returncode == 1 and "put the cluster's file there first" in done.stderr, done.stderr
    shutil.copy(running.state / "cluster.key", state)
    done = await asyncio.to_thread(manager_command, *words)
    assert done.returncode == 1 and "all managers of the cluster must be stopped" in done.stderr, done.stderr
    assert [each.name for each in state.iterdir()] == ["cluster.key"]


async def scheduled(managers: Managers, endpoint: str, ca: Path) -> str:
    """Schedule backups to the bucket; the name of the first."""
    secret = ca.with_name("secret.txt")
    secret.write_text(SECRET_KEY)
    at = managers.processes["m2"]
    options = ["--every", "1h", "--keep", "2", "--to", f"s3://{BUCKET}/shoal", "--endpoint", endpoint, "--ca", str(ca)]
    options += ["--access-key-id", ACCESS_KEY_ID, "--secret-key-file", str(secret)]
    code, text = await asyncio.to_thread(shoal, at, "cluster", "backup", *options)
    assert (code, SECRET_KEY in text) == (0, False), text

    async def stored() -> bool:
        return bool((await managers.controls["m2"].GetBackupSchedule(GetBackupScheduleRequest())).status.backups)

    # A manager that loses the leadership meanwhile leaves it to the next, which tries again only after a minute.
    await until(stored, "a scheduled backup is stored", 150)
    status = (await managers.controls["m2"].GetBackupSchedule(GetBackupScheduleRequest())).status
    # An attempt that was given up may have left a file of its own.
    name = str(status.backups[0].name)
    assert (ca.parent / "objects" / BUCKET / "shoal" / name).is_file()
    code, text = await asyncio.to_thread(shoal, at, "cluster", "backup", "ls")
    assert code == 0 and name in text
    assert all(SECRET_KEY not in process.log for process in managers.processes.values())
    return name


async def restore(manager: ManagerProcess, source: str, endpoint: str, ca: Path) -> None:
    """Refused while the host's etcd is one of several members; then whole."""
    words = ["restore", "--force", "--state-directory", str(manager.state), "--endpoint", endpoint, "--ca", str(ca)]
    refused = await asyncio.to_thread(manager_command, *words, source)
    assert refused.returncode == 1 and "move that directory away" in refused.stderr
    shutil.move(manager.state / "etcd", manager.state / "etcd.before")
    done = await asyncio.to_thread(manager_command, *words, source)
    assert done.returncode == 0, done.stderr
    assert "point in time" in done.stdout and "30 networks" in done.stdout
