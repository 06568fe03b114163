"""Health checks that hang, flood or are answered by a hostile server: what they cost the agent and other containers.

Bounds: with 36 that hang for 30 s each, another container's check is answered within 25 s; a check that writes without
end costs the agent half a second of processor in two, at most; an answer that drips or has no end costs no more than
the check's own timeout, and 4 KiB.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.health.healthcheck import effective_healthcheck
from agent.health.probes import HealthProber, ProbeResult
from agent.runtime.exec.probe_exec import MAX_OUTPUT
from agent.runtime.oci_runtime import OciRuntime
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import Healthcheck, HttpProbe
from tests.fakes.container_access import ContainersToProbe
from tests.fakes.containers import build_image, container_request, real_runtime

HANGING = 36
ANSWERED_SECONDS = 25.0


def with_container(directory: Path, body: Callable[[OciRuntime, Image, str], Awaitable[None]]) -> None:
    async def run() -> None:
        async with real_runtime(directory) as (runtime, _):
            image = build_image(directory)
            request = container_request(image, "/bin/sleep", "1000")
            await runtime.start(request)
            await body(runtime, image, request.task_id)

    asyncio.run(run())


async def check(prober: HealthProber, task_id: str, given: Healthcheck) -> ProbeResult:
    whole = effective_healthcheck(given, None)
    assert whole is not None
    return await prober.probe(task_id, whole, "127.0.0.1")


def test_checks_that_hang_do_not_hold_up_those_of_others(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, image: Image, good: str) -> None:
        prober = HealthProber(containers=runtime)
        requests = [container_request(image, "/bin/sleep", "1000") for _ in range(HANGING)]
        for request in requests:
            await runtime.start(request)
        hang = Healthcheck(test=["CMD-SHELL", "trap '' TERM HUP INT; while :; do sleep 1000 & wait; done"])
        hanging = [asyncio.create_task(check(prober, request.task_id, hang)) for request in requests]
        await asyncio.sleep(0)
        async with asyncio.timeout(ANSWERED_SECONDS):
            assert (await check(prober, good, Healthcheck(test=["CMD", "/bin/true"]))).passed
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    with_container(tmp_path, body)


def test_a_check_that_writes_without_end_costs_little(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, image: Image, task_id: str) -> None:
        prober = HealthProber(containers=runtime)
        before = time.process_time()
        flood = Healthcheck(test=["CMD", "/bin/yes"], timeout_ms=2000)
        assert await check(prober, task_id, flood) == ProbeResult(False, "no response within 2 s")
        assert time.process_time() - before < 0.5
        done = await runtime.execute(task_id, ("/bin/sh", "-c", "yes x | head -c 3000000; echo the end"))
        assert done.output.endswith(b"the end\n")
        assert len(done.output) <= MAX_OUTPUT

    with_container(tmp_path, body)


ANSWERS = {
    "drips": (b"HTTP/1.1 200", b" "),
    "never begins": (b"", b""),
    "one header without end": (b"", b"x"),
    "informational without end": (b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "body without end": (b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16)),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b""),
}


@asynccontextmanager
async def server(begin: bytes, again: bytes) -> AsyncGenerator[tuple[int, list[asyncio.Task[None]]]]:
    """Its port, and what serves each connection that it had."""
    serving: list[asyncio.Task[None]] = []

    async def serve(writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(begin)
            while True:
                await writer.drain()
                await asyncio.sleep(0.001)
                writer.write(again)
        except OSError:
            return
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(serve(writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], serving
    finally:
        listening.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


class Here(ContainersToProbe):
    """A container whose network namespace is the test's own."""

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


@pytest.mark.parametrize("name", ANSWERS)
def test_hostile_servers_end_with_the_timeout(name: str) -> None:
    async def body() -> None:
        async with server(*ANSWERS[name]) as (port, connections):
            asked = Healthcheck(http=HttpProbe(port=port), timeout_ms=500)
            async with asyncio.timeout(60):
                found = await check(HealthProber(containers=Here()), "t", asked)
        assert found.passed == (name in ("body without end", "redirect")), found
        assert len(connections) == 1

    asyncio.run(body())
