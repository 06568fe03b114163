"""Long names and dialogs on a phone of 360 pixels, which a window of 720 pixels with a zoom of 200 % is too."""

import asyncio
from urllib.parse import quote

import pytest
from playwright.async_api import ViewportSize, async_playwright, expect

from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import made_up_console

SECONDS = 240
pytestmark = pytest.mark.timeout(SECONDS + 20)
PHONE: ViewportSize = {"width": 360, "height": 640}
LONG = "-" + "x" * 90
GO = "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
SERVICE = f"/services/shop_search{quote(LONG)}"
PAGES = (
    "/",
    "/services",
    SERVICE,
    f"/nodes/h4{quote(LONG)}",
    f"/stacks/shop{quote(LONG)}",
    "/run",
    "/deploy",
    "/events",
)
DIALOGS = (
    (SERVICE, "Update…"),
    (SERVICE, "Remove…"),
    ("/secrets", "Create…"),
    ("/networks", "Create…"),
    ("/images", "Pull…"),
)


def test_nothing_is_wider_than_a_phone() -> None:
    wide: list[object] = []

    async def scenario() -> None:
        cluster = MadeUpCluster(nodes=8, tasks=60, services=6, changes=0, calm=True, mark=LONG)
        async with made_up_console(cluster, LONG) as (console, address), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page(viewport=PHONE)
            page.set_default_timeout(TIMEOUT_MS)
            await page.goto(f"{address}#token={console.one_time_token()}")
            for path in PAGES:
                await page.evaluate(GO, path)
                await page.locator("#content h1").wait_for()
                await page.wait_for_function("() => !document.querySelector('main').innerText.includes('Loading')")
                if (width := await page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
                    wide.append((path, width))
            for path, button in DIALOGS:
                await page.evaluate(GO, path)
                await page.get_by_role("button", name=button).first.click()
                dialog = page.get_by_role("dialog")
                await expect(dialog).to_be_visible()
                if await dialog.evaluate("element => element.scrollWidth > element.clientWidth"):
                    wide.append((path, button))
                await page.keyboard.press("Escape")
                await expect(dialog).to_have_count(0)
            await browser.close()

    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario()

    asyncio.run(bounded())
    assert not wide
