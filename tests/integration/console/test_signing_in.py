"""`shoal-console` in Chromium, for a team over TLS and for one person on loopback: who gets in, and what others cannot.

The program is the real one, its manager and cluster are made up.
"""

import asyncio
import os
import re
import ssl
import sys
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from shoal.api.v1.control_pb2 import ScaleServicesRequest, ScaleServicesResponse
from shoal.contexts.context_store import ContextStore
from shoal.identity import sign_in_token
from shoal.identity.identity import Identity
from shoal.identity.roles import Role
from shoal.rpc.on_behalf import ON_BEHALF_KEY
from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_answers import answers, streams
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_manager import MadeUpManager, serving

NAME = "console.example.test"
SECONDS = 300
pytestmark = pytest.mark.timeout(SECONDS + 20)
OTHER_PAGE = """<!doctype html><title>Elsewhere</title>
<iframe src="{0}"></iframe>
<form method="post" enctype="text/plain" action="{0}api/services/service0/scale">
  <input name='{{"replicas": 9, "more": "' value='"}}'><button>Win a prize</button>
</form>"""
POST = """address => fetch(address + "api/services/service0/scale", {method: "POST", mode: "no-cors",
  credentials: "include", headers: {"Content-Type": "text/plain"}, body: '{"replicas": 9}'})
  .then(() => "answered", () => "refused")"""
STREAM = """address => new Promise(done => {
  const socket = new WebSocket(address.replace("http", "ws") + "api/feed");
  socket.onopen = () => done("open"); socket.onerror = () => done("refused");
})"""
OWN_POST = """async () => (await fetch("/api/services/service0/scale", {method: "POST",
  headers: {"Content-Type": "application/json"}, body: '{"replicas": 3}'})).status"""


def run(scenario: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario

    asyncio.run(bounded())


class Served:
    """A `shoal-console` that runs.

    Attributes:
        address: as browsers have it, without a token. opened: with the one that was printed.
    """

    def __init__(self, manager: MadeUpManager, contexts: Path) -> None:
        self.manager = manager
        self.contexts = contexts
        self.address = self.opened = ""

    @property
    def scaled(self) -> list[ScaleServicesRequest]:
        """The changes that have reached the manager."""
        return [each for _, each in self.manager.requests if isinstance(each, ScaleServicesRequest)]

    def context(self, name: str, identity: Identity, address: str) -> None:
        """A context of the command line."""
        ContextStore(self.contexts).create(name, identity, [address])

    async def program(self, name: str, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name(name),
            *arguments,
            env=os.environ | {"SHOAL_CONFIG": str(self.contexts)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


@asynccontextmanager
async def served(directory: Path, role: Role, *arguments: str) -> AsyncGenerator[Served]:
    """The console, with a context of this role; `ada` is a context of an admin."""
    cluster = MadeUpCluster(nodes=3, tasks=12, services=2, changes=0)
    known = answers() | {"ScaleServices": ScaleServicesResponse()}
    manager = MadeUpManager(known, {**streams(), "WatchCluster": cluster.watch})
    found = Served(manager, directory / "contexts")
    async with serving(manager) as address:
        found.context("console", manager.identity("console", role), address)
        found.context("ada", manager.identity("ada", Role.ADMIN), address)
        process = await found.program("shoal-console", "--context", "console", "--listen", "127.0.0.1:0", *arguments)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                if listening := re.search(r"https?://127\.0\.0\.1:\d+\S*", line.decode()):
                    found.opened = listening[0]
                    break
            found.address = found.opened.partition("#")[0].rstrip("/") + "/"
            assert urlsplit(found.address).port, "it has ended"
            yield found
        finally:
            process.terminate()
            await process.communicate()


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        await browser.close()


async def window(browser: Browser) -> BrowserContext:
    """A person's. It does not know the cluster's authority, which a test checks the certificate against."""
    context = await browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(TIMEOUT_MS)
    return context


async def sign_in(page: Page, token: str) -> None:
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Sign in").click()


async def refused(page: Page, text: str) -> None:
    """The page says why, and is still that of signing in."""
    await expect(page.get_by_role("alert")).to_have_text(text)
    await expect(page.get_by_label("Token")).to_be_visible()
    await expect(page.get_by_role("navigation")).to_have_count(0)
    assert await page.context.cookies() == []


async def others_can_do_nothing(page: Page, address: str, console: Served) -> None:
    """A page of another origin, in a browser that has signed in."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=OTHER_PAGE.format(address), content_type="text/html")

    elsewhere = web.Application()
    elsewhere.router.add_get("/", answer)
    async with TestServer(elsewhere, host="127.0.0.1") as other:
        async with page.expect_console_message(lambda each: "frame-ancestors 'none'" in each.text):
            await page.goto(str(other.make_url("/")))
        (_, framed) = page.frames
        assert await framed.locator("#app").count() == 0
        assert await page.evaluate(POST, address) == "refused"
        assert await page.evaluate(STREAM, address) == "refused"
        async with page.expect_navigation() as gone:
            await page.get_by_role("button", name="Win a prize").click()
        response = await gone.value
        assert (response.status, await response.json()) == (403, {"error": "requests of other sites are refused"})
    assert console.scaled == []
    await page.goto(address)
    await page.locator("#content h1").wait_for()
    assert await page.evaluate(OWN_POST) == 200
    (change,) = console.scaled
    assert change.targets[0].replicas == 3


async def trusted(console: Served, port: int) -> None:
    """Who knows the cluster's authority trusts the certificate, by the name of `--names` and by the address."""
    authority = ssl.create_default_context(cadata=console.manager.authority.certificate.decode())
    for name in (NAME, "127.0.0.1"):
        while True:  # a manager has to give the certificate first
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=authority, server_hostname=name)
                break
            except ssl.SSLCertVerificationError:
                raise
            except (ssl.SSLError, ConnectionError):
                await asyncio.sleep(0.05)
        writer.close()
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        await asyncio.open_connection("127.0.0.1", port, ssl=authority, server_hostname="other.example.test")


async def headers_are_strict(console: Served, address: str, port: int) -> None:
    authority = ssl.create_default_context(cadata=console.manager.authority.certificate.decode())
    async with aiohttp.ClientSession() as session:
        for path in ("", "api/session", "api/services/service0"):
            async with session.get(console.address + path, ssl=authority) as response:
                headers = response.headers
            policy = [each.strip() for each in headers["Content-Security-Policy"].split(";")]
            assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= {*policy}
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            # It would be for all ports of the host, where services serve HTTP.
            assert "Strict-Transport-Security" not in headers
        async with session.get(console.address, ssl=authority, headers={"Host": "other.example.test"}) as response:
            assert response.status == 421
        with pytest.raises(aiohttp.ClientError):
            await session.get(address.replace("https:", "http:").replace(NAME, "127.0.0.1"))
    assert urlsplit(address).port == port


def test_a_team_signs_in_over_tls_by_tokens_of_the_command_line(tmp_path: Path) -> None:
    now = datetime.now(UTC)

    async def scenario() -> None:
        options = ("--names", NAME, "--monitoring-address", "off")
        async with served(tmp_path, Role.CONSOLE, *options) as console, chromium() as browser:
            port = urlsplit(console.address).port or 0
            address = f"https://{NAME}:{port}/"
            await trusted(console, port)
            await headers_are_strict(console, address, port)

            hers = await window(browser)
            page = await hers.new_page()
            await page.goto(f"{address}services")
            ada, eve = console.manager.identity("ada", Role.ADMIN), console.manager.identity("eve", Role.ENGINE)
            old = now - sign_in_token.VALID - timedelta(seconds=10)
            await sign_in(page, sign_in_token.make(ada, number="n1", now=old))
            await refused(page, "the token has expired; `shoal console token` prints a new one")
            await sign_in(page, sign_in_token.make(eve, number="n2", now=now))
            await refused(page, "role engine may not sign in; role admin is required")

            printed = await console.program("shoal", "--context", "ada", "console", "token")
            token = (await printed.communicate())[0].decode().strip()
            await sign_in(page, token)
            await expect(page).to_have_url(f"{address}services")
            await page.locator("#content h1").wait_for()
            (cookie,) = await hers.cookies()
            assert (cookie["name"], cookie["domain"], cookie["path"]) == ("__Host-shoal-console", NAME, "/")
            assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
            assert await page.evaluate("document.cookie") == ""
            hours = (cookie["expires"] - now.timestamp()) / 3600
            assert 11.9 < hours < 12.1

            second = await (await window(browser)).new_page()
            await second.goto(address)
            await sign_in(second, token)
            await refused(second, "the token was used already; `shoal console token` prints a new one")

            await others_can_do_nothing(page, address, console)
            assert console.manager.metadata["ScaleServices"][ON_BEHALF_KEY] == "admin ada"
            await page.get_by_role("button", name="Sign out").click()
            await expect(page.get_by_label("Token")).to_be_visible()
            assert await hers.cookies() == []

    run(scenario())


def test_the_address_of_ones_own_console_opens_once_and_other_ports_of_loopback_can_do_nothing(tmp_path: Path) -> None:
    """Another port of the same host is of the same site: the cookie goes with its requests."""

    async def scenario() -> None:
        async with served(tmp_path, Role.ADMIN, "--local") as console, chromium() as browser:
            page = await (await window(browser)).new_page()
            await page.goto(console.opened)
            await page.locator("#content h1").wait_for()
            assert page.url == console.address
            (cookie,) = await page.context.cookies()
            assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")

            second = await (await window(browser)).new_page()
            await second.goto(console.opened)
            await refused(second, "the address was used already; `shoal console token` prints a token to sign in with")
            assert "token" not in second.url
            await others_can_do_nothing(page, console.address, console)

    run(scenario())
