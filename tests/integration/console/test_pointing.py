"""A resting pointer is told what is under it, also after what is above the picture has come or gone."""

import asyncio

from playwright.async_api import Page, Position, async_playwright, expect

from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import made_up_console

SHIFT = """height => {
  const more = document.createElement('p');
  more.style.height = `${height}px`;
  more.className = 'shift';
  document.querySelector('h1').after(more);
}"""
"""What is changing, say: it has the picture under the pointer move down."""
BACK = "document.querySelector('.shift').remove()"
CELL: Position = {"x": 15, "y": 37}
"""The first cell of a box."""
AFTER_MS = (0, 30, 300, 1500)
"""Browsers tell of a pointer that rests only sometimes, depending on how long ago something else moved."""


async def is_followed(page: Page) -> None:
    tooltip = page.get_by_role("tooltip")
    for height in (60, 300):
        for wait in AFTER_MS:
            await page.evaluate(SHIFT, height)
            await expect(tooltip).to_be_hidden()
            await page.wait_for_timeout(wait)
            await page.evaluate(BACK)
            await expect(tooltip).to_contain_text("web.1")


def test_a_pointer_that_rests_is_told_what_comes_to_be_under_it() -> None:
    async def scenario() -> None:
        cluster = MadeUpCluster(nodes=4, tasks=12, services=2, changes=0, calm=True)
        async with made_up_console(cluster) as (console, address), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(TIMEOUT_MS)
            await page.goto(f"{address}#token={console.one_time_token()}")
            box = page.get_by_role("link", name="3 running").first
            await box.hover(position=CELL)
            tooltip = page.get_by_role("tooltip")
            await expect(tooltip).to_contain_text("web.1")
            await is_followed(page)
            await page.mouse.move(1, 1)
            await expect(tooltip).to_be_hidden()
            await page.evaluate(SHIFT, 60)
            await page.evaluate(BACK)
            await page.wait_for_timeout(AFTER_MS[-1])
            await expect(tooltip).to_be_hidden()
            await browser.close()

    asyncio.run(scenario())
