"""Events, logs and usage go on by themselves after their stream has failed, and say so meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Literal

import pytest
from google.protobuf.message import Message
from playwright.async_api import async_playwright, expect

from shoal.errors import Unavailable
from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_answers import streams
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import made_up_console

SECONDS = 180
pytestmark = pytest.mark.timeout(SECONDS + 20)
PROBLEM = "no manager responds"
GO = "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }"


class Failing:
    """A stream that ends with an error as soon as it has sent something, until it is mended."""

    def __init__(self, stream: Callable[[], AsyncIterable[Message]]) -> None:
        self._stream = stream
        self.mended = False

    async def __call__(self) -> AsyncGenerator[Message]:
        async for each in self._stream():
            yield each
            if not self.mended:
                raise Unavailable(PROBLEM)


@pytest.mark.parametrize(
    ("call", "path", "role", "shown"),
    [
        ("WatchEvents", "/events", "table", "shop_web.39"),
        ("Logs", "/services/shop_search?tab=logs", "log", "/products/59"),
        ("Stats", "/services/shop_search?tab=usage", "table", "web.1"),
    ],
)
def test_a_stream_that_fails_comes_back(call: str, path: str, role: Literal["table", "log"], shown: str) -> None:
    async def scenario() -> None:
        failing = Failing(streams()[call])
        cluster = MadeUpCluster(nodes=3, tasks=12, services=6, changes=0, calm=True)
        async with (
            made_up_console(cluster, own_streams={call: failing}) as (console, address),
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            await page.goto(f"{address}#token={console.one_time_token()}")
            await page.evaluate(GO, path)
            problem = page.locator("main [role=status]", has_text=PROBLEM)
            await expect(problem).to_be_visible()
            failing.mended = True
            await expect(problem).to_have_count(0)
            await expect(page.get_by_role(role).last).to_contain_text(shown)
            await browser.close()

    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario()

    asyncio.run(bounded())
