"""Proxies that the environment names: plain requests, tunnels, logins, and what goes without one."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.images.push import push
from cli.playground.registry_server import RegistryAccess
from shoal.errors import Unavailable
from tests.integration.images.rig import QUICK, ignore, settings, small_archive, store_in
from tests.integration.registry_fixture import make_certificate, running_registry
from tests.ports import free_port


@dataclass
class Proxy:
    """One that tunnels to one port; `asked` has the first line of each request, `logins` what came with them."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


@asynccontextmanager
async def tunnelling_proxy(to_port: int) -> AsyncGenerator[Proxy]:
    """A proxy that knows CONNECT (RFC 9110 section 9.3.6) and takes every name for 127.0.0.1."""
    found, tasks = Proxy(), set[asyncio.Task[None]]()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found.asked.append(lines[0])
        found.logins += [line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-authorization")]
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", to_port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        found.port = listening.sockets[0].getsockname()[1]
        yield found
        await asyncio.gather(*tasks)


def test_a_tunnel_with_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        keys = make_certificate(tmp_path / "tls")
        security = RegistryAccess(keys.certificate, keys.key)
        async with (
            running_registry(tmp_path / "registry", security=security) as server,
            tunnelling_proxy(server.port) as proxy,
        ):
            monkeypatch.delenv("https_proxy", raising=False)  # which has precedence
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass%20word@127.0.0.1:{proxy.port}")
            # The certificate is for 127.0.0.1, where only the proxy knows that another port answers.
            domain = "registry.example:5000"
            known = settings(domain, "https://127.0.0.1:1", ca_file=keys.certificate)
            pushed = await push(small_archive(tmp_path), f"{domain}/small:1", known, ignore, policy=QUICK)
            store = store_in(tmp_path / "images", known)
            assert (await store.ensure(f"{domain}/small:1", ignore)).digest == pushed.digest
            await store.aclose()
        assert proxy.asked and set(proxy.asked) == {"CONNECT 127.0.0.1:1 HTTP/1.1"}
        assert set(proxy.logins) == {"Basic " + base64.b64encode(b"user:pass word").decode()}

    asyncio.run(run())


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "localhost, 127.0.0.1"])
def test_what_goes_without_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: str) -> None:
    async def run() -> None:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        async with running_registry(tmp_path / "registry") as server:
            known = settings("registry.example:5000", server.endpoint)
            with pytest.raises(Unavailable, match="is unreachable"):
                await push(small_archive(tmp_path), "registry.example:5000/small:1", known, ignore, policy=QUICK)
            monkeypatch.setenv("no_proxy", exception)
            assert (await push(small_archive(tmp_path), "registry.example:5000/small:1", known, ignore)).blobs_sent

    asyncio.run(run())
