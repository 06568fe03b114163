"""Every page of the console in Chromium, over a cluster that is made up."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Page, WebSocketRoute, async_playwright
from playwright.async_api import TimeoutError as PageTimeout

from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import PAGES, made_up_console

HOSTILE = "<img src=x onerror=\"document.title='owned'\">\u202e\u200b\u001b[31mred"
SHOWN = "\u27e8U+202E\u27e9"
SECONDS = 360
pytestmark = pytest.mark.timeout(SECONDS + 20)
GO = "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
FOUND = """async rules => (await axe.run({resultTypes: ['violations'], ...rules})).violations
  .map(each => `${each.id}: ${each.nodes[0].html}`)"""
TEXTS = """() => [document.title, document.body.innerText,
  ...[...document.querySelectorAll('[aria-label]')].map(each => each.ariaLabel),
  ...[...document.querySelectorAll('[title]')].map(each => each.title)].join('\\n')"""
ARE_SHOWN = f"wanted => {{ const texts = ({TEXTS})(); return wanted.every(each => texts.includes(each)); }}"
WITHOUT_NAMES = frozenset({"deploy", "jobs", "run", "create-service", "health", "container", "files"})
"""Pages that show no name of the cluster, and those of a container, which has names of its own (`made_up_objects`)."""
COMPLETE = '{"type":"complete"}'
"""What ends a snapshot of the stream."""
PHONE: Any = {"width": 390, "height": 844}

Check = Callable[[str, Page], Awaitable[None]]


@asynccontextmanager
async def signed_in(*, mark: str = "", nodes: int = 5, tasks: int = 60) -> AsyncGenerator[Page]:
    """A page of the console; whatever the browser complains of, and what is asked of other hosts, fails the test."""
    cluster = MadeUpCluster(nodes=nodes, tasks=tasks, services=6, changes=20, mark=mark, calm=True)
    complaints: list[str] = []
    async with made_up_console(cluster, mark) as (console, address), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        own = (address, address.replace("http:", "ws:"))
        page.on("request", lambda each: None if each.url.startswith(own) else complaints.append(each.url))
        await page.goto(f"{address}#token={console.one_time_token()}")
        await page.locator("#content h1").wait_for()
        yield page
        await browser.close()
    assert not complaints


async def on_every_page(page: Page, check: Check, mark: str = "") -> None:
    """Go to each page, as a link does."""
    for name, path in PAGES.items():
        parts = path.split("/")
        if mark and len(parts) > 2 and parts[1] not in ("tasks", "terminal", "deploy", "containers", "images"):
            path, _, query = path.partition("?")
            path += quote(mark, safe="") + (f"?{query}" if query else "")
        await page.evaluate(GO, path)
        await page.locator("#content h1").wait_for()
        await page.wait_for_function("() => !document.querySelector('main').innerText.includes('Loading')")
        await check(name, page)


def run(scenario: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario

    asyncio.run(bounded())


def test_hostile_names_labels_and_logs_are_text_on_every_page() -> None:
    wrong: list[tuple[str, str]] = []

    async def check(name: str, page: Page) -> None:
        if name not in WITHOUT_NAMES:
            try:
                await page.wait_for_function(ARE_SHOWN, arg=[SHOWN, "<img src=x"])
            except PageTimeout:
                wrong.append((name, "nothing hostile is shown"))
        texts = await page.evaluate(TEXTS)
        wrong.extend((name, line) for line in texts.splitlines() if set("\u202e\u200b\u001b") & set(line))
        if await page.locator("main img:not(.cm-widgetBuffer), main script").count():
            wrong.append((name, "markup"))

    async def scenario() -> None:
        async with signed_in(mark=HOSTILE) as page:
            await on_every_page(page, check, HOSTILE)

    run(scenario())
    assert not wrong


async def violations_on_every_page(check: Check, *, phone: bool = False) -> None:
    """By axe's rules of accessibility (WCAG 2.2 AA), which `check` collects."""
    async with signed_in() as page:
        await page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        if phone:
            await page.set_viewport_size(PHONE)
        await on_every_page(page, check)


def test_nothing_keeps_a_person_from_any_page_light_or_dark() -> None:
    found: list[tuple[str, ...]] = []

    async def check(name: str, page: Page) -> None:
        found.extend((name, each) for each in await page.evaluate(FOUND, {}))
        await page.emulate_media(color_scheme="dark")
        contrast = {"runOnly": ["color-contrast"]}
        found.extend((name, "dark", each) for each in await page.evaluate(FOUND, contrast))
        await page.emulate_media(color_scheme="light")

    run(violations_on_every_page(check))
    assert not found


def test_nothing_keeps_a_person_from_any_page_on_a_phone() -> None:
    """No page is wider than it is."""
    found: list[tuple[str, ...]] = []

    async def check(name: str, page: Page) -> None:
        if (width := await page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
            found.append((name, f"{width} pixels wide"))
        found.extend((name, each) for each in await page.evaluate(FOUND, {}))

    run(violations_on_every_page(check, phone=True))
    assert not found


def test_lists_of_any_length_have_few_elements() -> None:
    async def scenario() -> None:
        async with signed_in(nodes=1_000, tasks=10_000) as page:
            counted = {}

            async def check(name: str, page: Page) -> None:
                counted[name] = await page.evaluate("document.querySelectorAll('*').length")

            await on_every_page(page, check)
            assert max(counted.values()) < 3_000, counted

    run(scenario())


def test_a_slow_network_says_what_it_waits_for() -> None:
    """The end of the snapshot waits until the page has said so: on a busy machine it could come before the page."""
    seen = asyncio.Event()

    async def hold(page_side: WebSocketRoute) -> None:
        server_side, in_order = page_side.connect_to_server(), asyncio.Lock()

        async def forward(message: str | bytes) -> None:
            async with in_order:
                if message == COMPLETE:
                    await seen.wait()
                page_side.send(message)

        server_side.on_message(forward)

    async def scenario() -> None:
        async with signed_in(nodes=500, tasks=5_000) as page:
            await page.route_web_socket("**/api/feed", hold)
            session = await page.context.new_cdp_session(page)
            await session.send("Network.enable")
            slow = {"offline": False, "latency": 300, "downloadThroughput": 60_000, "uploadThroughput": 20_000}
            await session.send("Network.emulateNetworkConditions", slow)
            await page.reload()
            await page.locator("main [role=status]", has_text="Loading the cluster").wait_for()
            seen.set()
            await page.locator(".problems, .changing, .fine:not([role])").first.wait_for()

    run(scenario())
