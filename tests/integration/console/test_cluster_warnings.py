"""What is wrong with managers and etcd is said on the first page and on that of the cluster's health."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, async_playwright, expect

from shoal.api.v1.control_pb2 import ListManagersResponse
from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_answers import answers
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import made_up_console

Check = Callable[[Page, str], Awaitable[None]]
SECONDS = 180
pytestmark = pytest.mark.timeout(SECONDS + 20)
WARNING = "1 of 3 managers is down, and 0 more failures are tolerated"
DOWN = "manager m2q8x5c2v9k2 (10.0.0.2:7440) is down"


def managers() -> ListManagersResponse:
    found = answers()["ListManagers"]
    assert isinstance(found, ListManagersResponse)
    found.warning = WARNING
    found.managers[1].alive = False
    return found


async def shown(page: Page, address: str) -> None:
    await page.goto(address)
    wrong = page.get_by_label("What is wrong")
    await expect(wrong).to_contain_text(WARNING)
    await expect(wrong).to_contain_text(DOWN)
    await wrong.get_by_role("link", name="Cluster").first.click()
    await expect(page.get_by_role("heading", name="Health")).to_be_visible()
    await expect(wrong).to_contain_text(DOWN)


async def may_be_old(page: Page, address: str) -> None:
    await page.goto(address)
    await expect(page.get_by_role("alert")).to_contain_text("has been disconnected from etcd since")
    await expect(page.get_by_label("What is wrong")).to_have_count(0)


@pytest.mark.parametrize(("stale_since_ms", "check"), [(0, shown), (1_700_000_000_000, may_be_old)])
def test_what_is_wrong_with_the_cluster_itself(stale_since_ms: int, check: Check) -> None:
    async def scenario() -> None:
        cluster = MadeUpCluster(nodes=3, tasks=12, services=2, changes=0, calm=True)
        own = made_up_console(cluster, own_answers={"ListManagers": managers()}, stale_since_ms=stale_since_ms)
        async with own as (console, address), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            await check(page, f"{address}#token={console.one_time_token()}")
            await browser.close()

    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario()

    asyncio.run(bounded())
