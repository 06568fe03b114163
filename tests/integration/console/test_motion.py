"""Whoever asks for less motion gets none: nothing is animated, and what has changed is painted once."""

import asyncio
from typing import Literal

import pytest
from playwright.async_api import Page, async_playwright

from shoal.api.v1.task_pb2 import TaskState
from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import PAGES, made_up_console
from tests.integration.console.test_every_page import GO

SECONDS = 300
pytestmark = pytest.mark.timeout(SECONDS + 20)
WATCH = """() => {
  const canvas = document.querySelector('main canvas');
  const seen = window.seen = [canvas.toDataURL()];
  setInterval(() => {
    const shown = canvas.toDataURL();
    if (shown !== seen.at(-1)) seen.push(shown);
  }, 20);
}"""
"""Pictures that there are, one after the other. Between a mark and its end, a timer comes even where frames do not."""
SEEN = "seen.length"
ANIMATED = """() => {
  const roots = [document, ...[...document.querySelectorAll('*')].map(each => each.shadowRoot).filter(Boolean)];
  return roots.flatMap(each => each.getAnimations()).map(each => each.animationName ?? each.transitionProperty);
}"""
UNMARKED = """() => new Promise(done => setTimeout(() => requestAnimationFrame(() => setTimeout(done, 100)), 1500))"""
"""No change is marked any longer, and what is painted has been seen: by the page's clock, which may be late."""


async def nothing_is_animated(page: Page) -> None:
    """On any page, also while it is gone to and while something is typed."""
    for name, path in PAGES.items():
        await page.evaluate(GO, path)
        await page.locator("#content h1").wait_for()
        if name == "deploy":
            await page.locator(".cm-content").click()
        assert (name, await page.evaluate(ANIMATED)) == (name, [])


@pytest.mark.parametrize(("asked", "pictures"), [("reduce", 2), ("no-preference", 3)])
def test_a_change_is_marked_for_those_who_do_not_mind_motion(
    asked: Literal["reduce", "no-preference"], pictures: int
) -> None:
    async def scenario() -> None:
        cluster = MadeUpCluster(nodes=4, tasks=12, services=2, changes=0, calm=True)
        async with made_up_console(cluster) as (console, address), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page(reduced_motion=asked)
            page.set_default_timeout(TIMEOUT_MS)
            await page.goto(f"{address}#token={console.one_time_token()}")
            await page.get_by_role("link", name="3 running").first.wait_for()
            await page.evaluate(UNMARKED)
            await page.evaluate(WATCH)
            cluster.set_state(0, TaskState.STARTING)
            await page.wait_for_function(f"{SEEN} > 1")
            await page.evaluate(UNMARKED)
            assert await page.evaluate(SEEN) == pictures
            if asked == "reduce":
                await nothing_is_animated(page)
            await browser.close()

    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario()

    asyncio.run(bounded())
