"""The process that unpacks: what it cannot do, and that it ends with its bounds, its caller and its agent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.images.content_store import ContentStore
from agent.images.unpacker import Unpacker
from shoal.errors import Unavailable
from tests.hostile.layers.attempt import ANY
from tests.hostile.layers.making import END, header, pax, squeezed

_SECONDS = 60.0


def sandboxed(directory: Path, what: str) -> subprocess.CompletedProcess[str]:
    directory.mkdir()
    (directory / "layer").mkdir()
    (directory / "layer" / "program").write_text("#!/bin/true\n")
    (directory / "layer" / "program").chmod(0o755)
    command = [sys.executable, "-m", "tests.hostile.layers.sandboxed", str(directory), what]
    return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)


@pytest.mark.parametrize("what", ["socket", "fork", "execute", "signal", "mount", "root", "device"])
def test_it_leads_nowhere(tmp_path: Path, what: str) -> None:
    """Whoever has taken the process over has no network, programs, processes, mounts or devices."""
    done = sandboxed(tmp_path / "unpack", what)
    assert done.stdout.startswith("refused"), done
    assert "PermissionError" in done.stdout, done


def test_it_sees_nothing_but_its_layer(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    assert sandboxed(tmp_path / "unpack", "outside").stdout == "done\n"


def test_its_memory_has_a_bound(tmp_path: Path) -> None:
    """256 MiB; that is an error in it, and no matter for the kernel."""
    assert sandboxed(tmp_path / "unpack", "memory").stdout == "refused MemoryError\n"


def test_its_processor_time_has_a_bound(tmp_path: Path) -> None:
    assert sandboxed(tmp_path / "unpack", "processor").returncode == -signal.SIGXCPU


def endless() -> bytes:
    """A layer that takes long: 40 links that each go up and down 800 times, passed through again and again."""

    def parts() -> Iterator[bytes]:
        yield header(b"a", b"5")
        for number in range(39):
            yield pax((b"linkpath", b"a/../" * 800 + b"%d" % (number + 1))) + header(b"%d" % number, b"2")
        yield header(b"39", b"2", link=b"a")
        for number in range(5000):
            yield header(b"%d/%d" % (number % 2, number))

    return squeezed(parts())


def children_of(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {_SECONDS} s: {what}"
        time.sleep(0.005)


async def under_way(helper: int) -> int:
    """The process that unpacks, once there is one."""
    await asyncio.to_thread(until, lambda: children_of(helper), "the layer to be unpacked")
    return children_of(helper)[0]


def opened(store: Path) -> tuple[ContentStore, Path]:
    content = ContentStore(store)
    content.open()
    blob = content.partial("registry.example", ANY, ANY)
    blob.write_bytes(endless())
    return content, blob


def helper_of(pid: int) -> int:
    """The program beside an agent that unpacks."""

    def found() -> list[int]:
        return [
            each for each in children_of(pid) if b"layers.unpack_program" in Path(f"/proc/{each}/cmdline").read_bytes()
        ]

    until(found, "the program to start")
    (helper,) = found()
    return helper


def test_it_ends_at_once_when_nobody_wants_the_layer_any_more(tmp_path: Path) -> None:
    """In the midst of an entry, too: the process is killed, and nothing is left of what it wrote."""

    async def run() -> None:
        content, blob = opened(tmp_path / "store")
        unpacker = Unpacker(content, reserve_bytes=0)
        task = asyncio.create_task(unpacker.unpack(blob, ANY))
        await asyncio.sleep(0)
        helper = helper_of(os.getpid())
        process = await under_way(helper)
        assert int(Path(f"/proc/{process}/oom_score_adj").read_text()) == 1000
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(process) and alive(helper)
        assert not list(content.temporary.iterdir()) and blob.exists()
        await unpacker.aclose()
        assert not alive(helper)

    asyncio.run(run())


def mounts_of(pid: int) -> str:
    """The mount namespace that a process is in."""
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_layer_s_process_has_no_other_root_than_its_directory(tmp_path: Path, when: str) -> None:
    """Where it comes before the program itself has given up the host's files, as well as afterwards."""

    async def run() -> None:
        content, blob = opened(tmp_path / "store")
        unpacker = Unpacker(content, reserve_bytes=0)
        unpacker.prepare()
        helper = helper_of(os.getpid())
        if when == "later":
            await asyncio.to_thread(until, lambda: mounts_of(helper) != mounts_of(os.getpid()), "it to leave the host")
        task = asyncio.create_task(unpacker.unpack(blob, ANY))
        process = await under_way(helper)
        seen = Path(f"/proc/{process}/root")
        await asyncio.to_thread(until, lambda: {each.name for each in seen.iterdir()} == {"layer", "discarded"}, "it")
        assert mounts_of(process) != mounts_of(os.getpid())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await unpacker.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("which", ["process", "helper"])
def test_one_that_is_killed_is_reported_and_the_next_layer_is_unpacked(tmp_path: Path, which: str) -> None:
    """As the kernel kills it first where the host is short of memory."""

    async def run() -> None:
        content, blob = opened(tmp_path / "store")
        unpacker = Unpacker(content, reserve_bytes=0)
        task = asyncio.create_task(unpacker.unpack(blob, ANY))
        await asyncio.sleep(0)
        helper = helper_of(os.getpid())
        process = await under_way(helper)
        os.kill(process if which == "process" else helper, signal.SIGKILL)
        with pytest.raises(Unavailable, match=r"out of memory|unpacker exited"):
            await task
        await asyncio.to_thread(until, lambda: not alive(process), "the process to end")
        assert blob.exists(), "another try may do"
        blob.write_bytes(END)
        await unpacker.unpack(blob, "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
        await unpacker.aclose()

    asyncio.run(run())


def test_an_idle_agent_has_none(tmp_path: Path) -> None:
    async def run() -> None:
        content, blob = opened(tmp_path / "store")
        blob.write_bytes(END)
        unpacker = Unpacker(content, reserve_bytes=0, idle_seconds=0.05)
        unpacker.prepare()
        helper = helper_of(os.getpid())
        await asyncio.to_thread(until, lambda: not alive(helper), "the program to end")
        await unpacker.unpack(blob, "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
        await unpacker.aclose()

    asyncio.run(run())


_AGENT = """
import asyncio, sys
from pathlib import Path
from tests.hostile.layers.test_process import ANY, Unpacker, opened
content, blob = opened(Path(sys.argv[1]))
asyncio.run(Unpacker(content, reserve_bytes=0).unpack(blob, ANY))
"""


def test_nothing_outlives_the_agent(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _AGENT, str(tmp_path / "store")]) as agent:
        helper = helper_of(agent.pid)
        until(lambda: children_of(helper), "the layer to be unpacked")
        process = children_of(helper)[0]
        agent.kill()
    until(lambda: not alive(helper) and not alive(process), "both to end")
