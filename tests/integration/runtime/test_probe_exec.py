"""Health checks as the kernel sees them: programs run in containers, sockets in their network namespaces."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.health.healthcheck import effective_healthcheck
from agent.health.probes import HealthProber, ProbeResult
from agent.runtime.oci_runtime import OciRuntime
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import Healthcheck, HttpProbe, TcpProbe
from shoal.errors import NotFound
from tests.fakes.containers import Ends, build_image, container_request, new_cgroup, open_test_runtime, shell
from tests.integration.runtime.child_processes import children

Body = Callable[[OciRuntime, Image], Awaitable[None]]
SERVE = "mkdir /www; echo hello > /www/index.html; httpd -p 8080 -h /www; nc -l -p 9090 -e /bin/sleep 1000; sleep 1000"


def with_runtime(directory: Path, body: Body, *, programs: tuple[str, ...] = ("crun", "runc")) -> None:
    async def run() -> None:
        async with open_test_runtime(directory, Ends(), new_cgroup(), programs=programs) as runtime:
            try:
                await body(runtime, build_image(directory))
            finally:
                await runtime.reset()

    asyncio.run(run())


async def found(runtime: OciRuntime, task_id: str, check: Healthcheck) -> ProbeResult:
    whole = effective_healthcheck(check, None)
    assert whole is not None
    return await HealthProber(containers=runtime).probe(task_id, whole, "127.0.0.1")


async def until_passed(runtime: OciRuntime, task_id: str, check: Healthcheck) -> None:
    async with asyncio.timeout(60):
        while not (await found(runtime, task_id, check)).passed:  # noqa: ASYNC110 - nothing notifies
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_a_program_has_the_rights_and_the_environment_of_the_containers_own(tmp_path: Path, program: str) -> None:
    async def body(runtime: OciRuntime, image: Image) -> None:
        for _ in range(2):  # the second with the compiled filter of the first
            request = container_request(image, "/bin/sleep", "1000", user="app", env=["MINE=1"], cap_drop=["ALL"])
            running = await runtime.start(request)
            script = "id -u; echo $MINE; ls -d /proc/[0-9]* | head -1; cat /proc/self/status; cat /proc/self/cgroup"
            done = await runtime.execute(request.task_id, ("/bin/sh", "-c", script))
            lines = done.output.decode().splitlines()
            assert (done.code, lines[:3]) == (0, ["1000", "1", "/proc/1"])
            assert "Seccomp:\t2" in lines
            assert "CapBnd:\t0000000000000000" in lines
            assert Path(f"/proc/{running.pid}").exists()

    with_runtime(tmp_path, body, programs=(program,))


def test_codes_and_the_last_line(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, image: Image) -> None:
        request = container_request(image, "/bin/sleep", "1000")
        await runtime.start(request)
        check = Healthcheck(test=["CMD-SHELL", "yes 0123456789 | head -100000; echo; echo not yet >&2; exit 3"])
        assert await found(runtime, request.task_id, check) == ProbeResult(False, "not yet")
        assert await found(runtime, request.task_id, Healthcheck(test=["CMD", "/bin/true"])) == ProbeResult(True, "")
        missing = await found(runtime, request.task_id, Healthcheck(test=["CMD", "/bin/missing"]))
        assert not missing.passed and "missing" in missing.message
        await runtime.remove(request.task_id, keep_logs=False)
        with pytest.raises(NotFound):
            await runtime.execute(request.task_id, ("/bin/true",))

    with_runtime(tmp_path, body)


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, image: Image) -> None:
        request = container_request(image, "/bin/sleep", "1000")
        await runtime.start(request)
        check = Healthcheck(test=["CMD-SHELL", "sleep 2001 & sleep 2002; true"], timeout_ms=300)
        assert await found(runtime, request.task_id, check) == ProbeResult(False, "no response within 0.3 s")
        listed = await runtime.execute(request.task_id, ("/bin/sh", "-c", "cat /proc/[0-9]*/cmdline"))
        assert b"2001" not in listed.output and b"2002" not in listed.output
        async with asyncio.timeout(60):
            while children("crun"):  # noqa: ASYNC110 - they are swept in a while
                await asyncio.sleep(0.05)

    with_runtime(tmp_path, body)


def test_questions_from_the_containers_network_namespace(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, image: Image) -> None:
        request = shell(image, f"ip link set lo up; {SERVE}", cap_add=["NET_ADMIN"])
        await runtime.start(request)
        ours = Path("/proc/self/ns/net").readlink()

        async def asked(check: Healthcheck) -> ProbeResult:
            return await found(runtime, request.task_id, check)

        await until_passed(runtime, request.task_id, Healthcheck(http=HttpProbe(port=8080)))
        assert await asked(Healthcheck(http=HttpProbe(port=8080, path="/index.html"))) == ProbeResult(
            True, "HTTP 200 OK"
        )
        assert await asked(Healthcheck(http=HttpProbe(port=8080, path="/no"))) == ProbeResult(
            False, "HTTP 404 Not Found"
        )
        assert (await asked(Healthcheck(tcp=TcpProbe(port=8080)))).passed
        refused = await asked(Healthcheck(tcp=TcpProbe(port=81)))
        assert refused == ProbeResult(False, "127.0.0.1:81: Connection refused")
        hangs = Healthcheck(http=HttpProbe(port=9090), timeout_ms=200)
        async with asyncio.timeout(60):
            while "refused" in (silent := await asked(hangs)).message:  # noqa: ASYNC110 - it listens a moment later
                await asyncio.sleep(0.02)
        assert silent == ProbeResult(False, "no response within 0.2 s")
        threads = [(each / "ns/net").readlink() for each in Path("/proc/self/task").iterdir()]
        assert set(threads) == {ours}

    with_runtime(tmp_path, body)


def test_a_hundred_checks_at_once_need_no_threads(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, image: Image) -> None:
        request = container_request(image, "/bin/sleep", "1000")
        await runtime.start(request)
        assert (await found(runtime, request.task_id, Healthcheck(test=["CMD", "/bin/true"]))).passed
        before = threading.active_count()
        hangs = Healthcheck(test=["CMD", "/bin/sleep", "1000"], timeout_ms=60_000)
        prober, whole = HealthProber(containers=runtime), effective_healthcheck(hangs, None)
        assert whole is not None
        checks = [asyncio.create_task(prober.probe(request.task_id, whole, "127.0.0.1")) for _ in range(100)]
        async with asyncio.timeout(60):
            while len(children("crun")) < len(checks):  # noqa: ASYNC110 - until all of them run
                await asyncio.sleep(0.05)
        assert threading.active_count() <= before + 1
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
        async with asyncio.timeout(60):
            while children("crun"):  # noqa: ASYNC110 - they are swept in a while
                await asyncio.sleep(0.05)

    with_runtime(tmp_path, body)
