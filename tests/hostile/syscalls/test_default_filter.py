"""A container tries what the default system call filter refuses, by each table of calls that an x86_64 kernel has.

Bound: none of these calls reaches the kernel (EPERM, and ENOSYS for clone3), whether the filter is compiled for the
container or taken from an earlier one, by either OCI runtime; what programs need goes through.
"""

import asyncio
import os
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.oci_runtime import OciRuntime
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import Mount
from tests.fakes.containers import Ends, build_image, container_request, log_lines, new_cgroup, open_test_runtime
from tests.hostile.syscalls import tries

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the calls are tried by their x86_64 numbers")

EPERM, ENOSYS, KILLED = 1, 38, -1
PYTHON = os.path.realpath(sys.executable)
I386_REFUSED = [name for name in tries.I386 if name not in ("i386 getpid", "i386 socketcall socket AF_ALG")]


def answers(directory: Path, *, program: str = "crun", times: int = 1, **spec: Any) -> list[dict[str, int]]:
    """What the kernel answers to each try, by name; in so many containers, one after the other."""

    async def run() -> list[dict[str, int]]:
        ends = Ends()
        async with open_test_runtime(directory, ends, new_cgroup(), programs=(program,)) as runtime:
            try:
                image = build_image(directory)
                return [await _answers(runtime, ends, image, spec) for _ in range(times)]
            finally:
                await runtime.reset()

    return asyncio.run(run())


async def _answers(runtime: OciRuntime, ends: Ends, image: Image, spec: dict[str, Any]) -> dict[str, int]:
    """The host's Python runs there, from the host's own directories."""
    places = [Path(place) for place in ("/usr", "/lib", "/lib64", sys.base_prefix)]
    mounts = [Mount(type=Mount.BIND, source=str(each), target=str(each), read_only=True) for each in places]
    mounts.append(Mount(type=Mount.BIND, source=str(Path(tries.__file__)), target="/tries.py", read_only=True))
    request = container_request(image, PYTHON, "-I", "/tries.py", mounts=mounts, **spec)
    await runtime.start(request)
    await ends.of(request.task_id)
    lines = [record.data.decode() async for record in log_lines(runtime, request.task_id)]
    found = (line.rpartition(" ") for line in lines)
    assert lines and lines[-1].startswith("end"), lines
    return {name: int(code) for name, _, code in found}


def refused(results: dict[str, int]) -> dict[str, int]:
    """Of those that the filter is to refuse, and that the kernel has a table for."""
    return {name: results[name] for name in (*tries.REFUSED, *I386_REFUSED) if results[name] != KILLED}


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_what_containers_may_not_call_is_refused(tmp_path: Path, program: str) -> None:
    """The second container has the filter that was compiled for the first one (crun)."""
    for results in answers(tmp_path, program=program, times=2):
        wrong = {name: code for name, code in refused(results).items() if code != EPERM}
        assert wrong == {"clone3": ENOSYS}
        assert {name: results[name] for name in tries.ALLOWED} == dict.fromkeys(tries.ALLOWED, 0)
        # A C library takes another way where a kernel lacks a call, and fails where it may not.
        assert {name: results[name] for name in tries.UNKNOWN} == dict.fromkeys(tries.UNKNOWN, ENOSYS)
        # The family lies in memory, which no filter reads: this one goes on to the kernel, as in Docker's profile.
        assert results["i386 socketcall socket AF_ALG"] != EPERM


def test_it_is_the_filter_that_refuses(tmp_path: Path) -> None:
    """Without it, the same calls get to the kernel, which finds other faults with them, if any."""
    (results,) = answers(tmp_path, seccomp="unconfined", cap_add=["ALL"])
    assert [name for name, code in refused(results).items() if code == EPERM] == []


def test_a_capability_opens_what_belongs_to_it_and_nothing_else(tmp_path: Path) -> None:
    (results,) = answers(tmp_path, cap_add=["SYS_ADMIN"])
    opened = {name for name, code in refused(results).items() if code not in (EPERM, ENOSYS)}
    assert {"mount", "unshare CLONE_NEWNET", "clone CLONE_NEWUSER", "clone3", "setns", "bpf"} <= opened
    assert not {name for name in opened if name.startswith(("socket", "io_uring", "keyctl", "userfaultfd", "x32"))}
