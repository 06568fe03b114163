"""A volume from one agent to another one, over mutual TLS, between real servers."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import grpc
import pytest

from agent.volume_moves.incoming_copy import IncomingCopy
from agent.volume_moves.tree_digest import tree_digest
from shoal.api.v1.streams_pb2 import DropVolumeCopyRequest
from shoal.api.v1.streams_pb2_grpc import AgentStreamsStub
from shoal.api.v1.volume_data_pb2 import ReadTreeRequest
from shoal.api.v1.volume_data_pb2_grpc import VolumeDataStub
from tests.integration.volume_moves.nodes import COPY_MS, GRANT, Pair, in_loop

MIB = 1 << 20
SECONDS = 60.0


def digest(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return tree_digest(descriptor, lambda _: None)
    finally:
        os.close(descriptor)


def fill(data: Path) -> None:
    """Everything that `cp -a` keeps."""
    (data / "base").mkdir(mode=0o700)
    (data / "base/row").write_bytes(os.urandom(3 * MIB + 17))
    os.chown(data / "base/row", 999, 998)
    (data / "base/row").chmod(0o4751)
    os.setxattr(data / "base/row", "user.note", b"kept")
    os.link(data / "base/row", data / "again")
    os.link(data / "again", data / "base/third")
    (data / "link").symlink_to("../../etc/passwd")
    os.mkfifo(data / "fifo", 0o620)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "socket"))
    with (data / "holes").open("wb") as file:
        file.seek(64 * MIB)
        file.write(b"end")
        file.truncate(1 << 40)
    (data / "empty").touch()
    (data / os.fsdecode(b"not \xff utf-8")).write_text("x")
    deep = data
    for _ in range(60):
        deep /= "d" * 60
        deep.mkdir()
    (deep / "bottom").write_text("deep")
    os.utime(data / "base/row", ns=(1, 1_234_567_890_123_456_789))
    os.utime(data / "base", ns=(1, 987_654_321_000_000_001))
    os.chown(data, 999, 999)
    data.chmod(0o2770)


@in_loop
async def test_all_that_a_volume_has_is_on_the_other_node_afterwards(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    data = pair.h1.data()
    fill(data)
    async with asyncio.timeout(SECONDS), pair.serving():
        assert await pair.fetch(await pair.request())
        assert await pair.fetch(await pair.request()), "once more: it is there, and only verified"
    found = pair.h2.store.find("v1", 0)
    assert found is not None and found[1].created_at_ms == COPY_MS and found[1].name == "data"
    made = found[0] / "_data"
    assert digest(made) == digest(data)
    assert os.getxattr(made / "base/row", "user.note") == b"kept"
    assert (made / "again").stat().st_ino == (made / "base/third").stat().st_ino == (made / "base/row").stat().st_ino
    status = (made / "base/row").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (999, 998, 0o4751)
    assert (
        status.st_mtime_ns == 1_234_567_890_123_456_789
        and (made / "base").stat().st_mtime_ns == 987_654_321_000_000_001
    )
    holes = (made / "holes").stat()
    assert holes.st_size == 1 << 40 and holes.st_blocks * 512 < MIB
    assert (made / "link").readlink() == Path("../../etc/passwd")
    assert stat.S_ISFIFO((made / "fifo").lstat().st_mode) and stat.S_ISSOCK((made / "socket").lstat().st_mode)
    assert list((pair.h2.directory / ".incoming").iterdir()) == []
    assert digest(data), "the source keeps its own until the manager says so"


@in_loop
async def test_what_is_complete_is_not_sent_again_after_either_node_was_restarted(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    data = pair.h1.data()
    for number in range(80):
        (data / f"{number:03}").write_bytes(os.urandom(4 * MIB))
    copy = IncomingCopy(pair.h2.directory, "v1", 0, COPY_MS)
    async with asyncio.timeout(SECONDS):
        async with pair.serving():
            assert not await pair.fetch(await pair.request(), stop_after=lambda count: count > 16 * MIB)
            async with pair.h2.asked(pair.manager) as channel:  # waits for the call before to be over
                other = DropVolumeCopyRequest(volume_id="v1", created_at_ms=1)
                await AgentStreamsStub(channel).DropVolumeCopy(other)
        done = copy.last_entry()
        assert 0 < done < 80
        kept = {path.name: path.stat().st_ino for path in sorted(copy.data.iterdir())[:done]}
        pair.h1.open()
        pair.h2.open()
        async with pair.serving():
            assert await pair.fetch(await pair.request())
    made = pair.h2.directory / "data/_data"
    assert digest(made) == digest(data)
    assert {name: (made / name).stat().st_ino for name in kept} == kept


@in_loop
async def test_a_volume_that_changes_meanwhile_is_copied_again(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    data = pair.h1.data()
    for number in range(80):
        (data / f"{number:03}").write_bytes(os.urandom(4 * MIB))
    async with asyncio.timeout(SECONDS), pair.serving():
        assert not await pair.fetch(await pair.request(), stop_after=lambda count: count > 16 * MIB)
        (data / "000").write_bytes(b"changed")
        request = await pair.request()
        with pytest.raises(grpc.RpcError) as refused:
            await pair.fetch(request)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE and "starting again" in str(refused.value)
        assert pair.h2.store.find("v1", 0) is None
        assert await pair.fetch(await pair.request())
    assert digest(pair.h2.directory / "data/_data") == digest(data)


@in_loop
async def test_nobody_reads_a_volume_but_the_node_that_a_manager_has_named(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    (pair.h1.data() / "row").write_text("secret")

    async def code(identity: object, **fields: object) -> grpc.StatusCode:
        async with pair.h1.asked(identity) as channel:  # type: ignore[arg-type]
            call = VolumeDataStub(channel).ReadTree(ReadTreeRequest(**{"volume_id": "v1", "token": GRANT, **fields}))  # type: ignore[arg-type]
            try:
                async for _ in call:
                    pass
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    denied = grpc.StatusCode.PERMISSION_DENIED
    async with asyncio.timeout(SECONDS), pair.serving():
        assert await code(pair.h2.identity) is denied, "before there is a token"
        await pair.request()
        assert await code(pair.h2.identity) is grpc.StatusCode.OK
        assert await code(pair.h2.identity, token=b"x" * 32) is denied
        assert await code(pair.h2.identity, slot=1) is denied
        assert await code(pair.h2.identity, volume_id="v2") is denied
        assert await code(pair.h1.identity) is denied, "another node, with the token"
        assert await code(pair.manager) is denied, "not even a manager"


@in_loop
async def test_a_volume_in_use_and_older_data_stand_in_the_way(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    (pair.h1.data() / "row").write_text("new")
    older = pair.h2.data()
    (older / "row").write_text("old")
    pair.h1.used.update({("v1", 0), ("v1", 2)})
    pair.h2.used.add(("v1", 2))
    async with asyncio.timeout(SECONDS), pair.serving():
        with pytest.raises(grpc.RpcError, match="volume data is in use by a container on this node"):
            await pair.request()
        pair.h1.used.remove(("v1", 0))  # other slots may have theirs
        request = await pair.request()
        with pytest.raises(grpc.RpcError, match="older data") as refused:
            await pair.fetch(request)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert (older / "row").read_text() == "old"
        assert await pair.fetch(await pair.request(replace=True))
        assert (older / "row").read_text() == "new"


@in_loop
async def test_data_of_another_volume_of_the_name_is_not_touched_and_nothing_is_copied(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    (pair.h1.data() / "row").write_text("new")
    others = pair.h2.data("v2")
    (others / "row").write_text("of v2")
    async with asyncio.timeout(SECONDS), pair.serving():
        with pytest.raises(grpc.RpcError, match="contains data of another volume with this name") as refused:
            await pair.fetch(await pair.request(replace=True))
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert (others / "row").read_text() == "of v2"
        assert {each.name for each in pair.h2.directory.iterdir()} == {"data"}


@in_loop
async def test_a_copy_is_dropped_only_when_it_is_the_one_that_is_meant(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    (pair.h1.data() / "row").write_text("x")
    async with asyncio.timeout(SECONDS), pair.serving(), pair.h2.asked(pair.manager) as channel:
        assert await pair.fetch(await pair.request())
        stub = AgentStreamsStub(channel)
        await stub.DropVolumeCopy(DropVolumeCopyRequest(volume_id="v1", created_at_ms=COPY_MS + 1))
        assert (pair.h2.directory / "data/_data/row").exists()
        pair.h2.used.add(("v1", 0))
        with pytest.raises(grpc.RpcError, match="volume data is in use by a container on this node"):
            await stub.DropVolumeCopy(DropVolumeCopyRequest(volume_id="v1", created_at_ms=COPY_MS))
        assert (pair.h2.directory / "data/_data/row").exists()
        pair.h2.used.clear()
        await stub.DropVolumeCopy(DropVolumeCopyRequest(volume_id="v1", created_at_ms=COPY_MS))
        assert not (pair.h2.directory / "data").exists()


@in_loop
async def test_a_device_is_refused_by_name(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    os.mknod(pair.h1.data() / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    async with asyncio.timeout(SECONDS), pair.serving():
        with pytest.raises(grpc.RpcError, match="'disk' is a device"):
            await pair.request()
