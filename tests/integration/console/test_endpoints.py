"""A task's page has the address at which its node alone serves it, as a link, and its addresses on networks."""

import asyncio

import pytest
from playwright.async_api import async_playwright, expect

from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import made_up_console

SECONDS = 180
pytestmark = pytest.mark.timeout(SECONDS + 20)
GO = "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }"


def test_a_port_of_one_node_is_a_link_to_that_node() -> None:
    async def scenario() -> None:
        cluster = MadeUpCluster(nodes=5, tasks=10, services=2, changes=0, calm=True)
        async with made_up_console(cluster) as (console, address), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            await page.goto(f"{address}#token={console.one_time_token()}")
            await page.evaluate(GO, "/tasks/task000000004")  # on the fifth node
            port = page.get_by_role("link", name="30004 → 80/tcp")
            await expect(port).to_have_attribute("href", "http://10.0.0.5:30004/")
            await expect(page.locator("dl")).to_contain_text("shop_front 10.0.0.14")
            await browser.close()

    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario()

    asyncio.run(bounded())
