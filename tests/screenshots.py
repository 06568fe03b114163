"""Pictures of the console's pages in light and dark, over a cluster that is made up: `make screenshots`.

python -m tests.screenshots [DIRECTORY]
"""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Page, async_playwright

from tests.bench.rig.chromium import CHROMIUM
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import PAGES, made_up_console

SIZES = {"": (1280, 900), "-phone": (390, 844)}
SETTLE_SECONDS = 0.5
"""For pictures of tasks, which are painted a frame after their page."""


async def save_pages(page: Page, address: str, directory: Path, suffix: str) -> None:
    """A picture of each page."""
    for name, path in PAGES.items():
        await page.goto(address.rstrip("/") + path)
        await page.locator("main h1").wait_for()
        await asyncio.sleep(SETTLE_SECONDS)
        await page.screenshot(path=directory / f"{name}{suffix}.png")


async def main(directory: Path) -> None:
    """All of them."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = MadeUpCluster(nodes=24, tasks=770, services=11, changes=20, calm=True)
    async with made_up_console(cluster) as (console, address), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for size, (width, height) in SIZES.items():
                viewport = {"width": width, "height": height}
                page = await browser.new_page(color_scheme=scheme, viewport=viewport)  # type: ignore[arg-type]
                await page.goto(f"{address}#token={console.one_time_token()}")
                await page.locator("#content h1").wait_for()
                await save_pages(page, address, directory, f"-{scheme}{size}")
                await page.context.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/screenshots")))
