"""The console's pages in Chromium, over a cluster that is made up: 1,000 nodes, 10,000 tasks, 500 changes a second.

python -m tests.bench.bench_console [NODES TASKS CHANGES]
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from playwright.async_api import Page, async_playwright

from console.app import Console, build
from console.server.assets import Assets
from console.server.listener import listen, serving
from console.settings import ConsoleSettings
from shoal.api.v1.control_pb2 import ListNodesResponse
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from tests.fakes.made_up_cluster import MadeUpCluster
from tests.unit.console.console_rig import FakeManagers

CHROMIUM = "/usr/bin/chromium"
SECONDS = 10

FRAMES = """seconds => new Promise(done => {
  let frames = 0, worst = 0, before = performance.now();
  const begun = before;
  const frame = now => {
    frames++; worst = Math.max(worst, now - before); before = now;
    now - begun < seconds * 1000 ? requestAnimationFrame(frame) : done([frames / ((now - begun) / 1000), worst]);
  };
  requestAnimationFrame(frame);
})"""


@asynccontextmanager
async def made_up_console(cluster: MadeUpCluster) -> AsyncGenerator[tuple[Console, str]]:
    """A console that serves on loopback, and its address."""
    now = datetime.now(UTC)
    identity = Authority.create("cluster1", now).issue(CertificateSubject("ada", Role.ADMIN, "cluster1"), now)
    managers: Any = FakeManagers({"ListNodes": ListNodesResponse()}, {"WatchCluster": cluster.watch})
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = ConsoleSettings(local=True, listen=f"127.0.0.1:{port}")
    console = build(settings, managers, identity=identity, context="bench", port=port, assets=Assets.read())
    following = asyncio.create_task(console.feed.run())
    try:
        async with serving(console.app, listener, None):
            yield console, f"http://127.0.0.1:{port}/"
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def measure(page: Page, console: Console, address: str) -> None:
    """Print what a person would notice."""
    begun = time.monotonic()
    await page.goto(f"{address}#token={console.one_time_token()}")
    await page.get_by_role("list", name="Nodes").get_by_role("listitem").first.wait_for()
    print(f"first page usable after {time.monotonic() - begun:.2f} s, signing in included")
    rate, worst = await page.evaluate(FRAMES, SECONDS)
    print(f"overview: {rate:.0f} frames/s, the longest {worst:.0f} ms")
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    found = await session.send("Performance.getMetrics")
    metrics = {each["name"]: each["value"] for each in found["metrics"]}
    print(f"page's heap: {metrics['JSHeapUsedSize'] / 2**20:.0f} MiB, {metrics['Nodes']:.0f} nodes of the document")


async def main(nodes: int, tasks: int, changes: int) -> None:
    cluster = MadeUpCluster(nodes=nodes, tasks=tasks, services=max(1, tasks // 100), changes=changes)
    async with made_up_console(cluster) as (console, address), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1600, "height": 1000})
        await measure(page, console, address)
        await browser.close()


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:4]]
    asyncio.run(main(*(given or (1000, 10_000, 500))))
