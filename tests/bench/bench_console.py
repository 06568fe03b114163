"""The console's pages in Chromium, over a cluster that is made up: 1,000 nodes, 10,000 tasks, 500 changes a second; and
how soon a change of a real cluster is on the screen.

Run `python -m tests.bench.bench_console [NODES TASKS CHANGES]`; with numbers, made-up clusters alone. Times are
those of this machine with what else it does; processor time beside them says what the console itself costs. Chromium
has no graphics processor here: it paints with the machine's processors.
"""

import asyncio
import gzip
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from playwright.async_api import CDPSession, Page

from cli.playground import console_server
from console.app import Console
from console.feed.cluster_rows import ClusterRows
from console.feed.live_feed import LiveFeed
from console.json_text import encode
from shoal.api.v1.control_pb2 import ClusterChanges
from shoal.api.v1.node_pb2 import NodeSpec
from tests.bench.rig.bed import cluster
from tests.bench.rig.chromium import Chromium, chromium
from tests.bench.rig.figures import Figure, p50, p99, table
from tests.fakes.console.made_up_cluster import INTERVAL_SECONDS, MadeUpCluster
from tests.fakes.console.made_up_console import made_up_console

NODES, TASKS, CHANGES = 1_000, 10_000, 500
FEW_NODES, FEW_TASKS = 3, 10
ROUNDS, CHANGE_ROUNDS, INCREMENTS = 7, 30, 200
SECONDS = 10.0
SETTLE_SECONDS = 3.0
WINDOW_SECONDS = 1.5
VIEWPORT: Any = {"width": 1600, "height": 1000}
MADE_UP, PART = f"{NODES:,} nodes, {TASKS:,} tasks", "of one part"

FRAMES = """seconds => new Promise(done => {
  const times = [];
  let before = performance.now();
  const begun = before;
  const frame = now => {
    times.push(now - before); before = now;
    now - begun < seconds * 1000 ? requestAnimationFrame(frame) : done(times);
  };
  requestAnimationFrame(frame);
})"""
STAGES = """
const usable = USABLE;
window.WebSocket = class extends WebSocket {
  constructor(address) {
    super(address);
    performance.mark('stream asked for');
    this.addEventListener('message', event => event.data === '{"type":"complete"}' && performance.mark('snapshot'));
  }
};
const look = () => usable() ? performance.mark('usable') : requestAnimationFrame(look);
requestAnimationFrame(look);
"""
TIMES = """() => {
  const of = (type, name) => performance.getEntriesByType(type).filter(each => each.name.includes(name));
  const files = performance.getEntriesByType('resource').filter(each => /[.](js|css)$/.test(each.name));
  return {
    'first byte': performance.getEntriesByType('navigation')[0].responseStart,
    'scripts and styles': Math.max(...files.filter(each => each.startTime < of('mark', 'usable')[0].startTime)
      .map(each => each.responseEnd)),
    'session': of('resource', '/api/session')[0].responseEnd,
    'stream asked for': of('mark', 'stream')[0].startTime,
    'first paint with content': of('paint', 'contentful')[0].startTime,
    'snapshot': of('mark', 'snapshot')[0].startTime,
    'usable': Math.max(of('mark', 'usable')[0].startTime, of('paint', 'contentful')[0].startTime),
  };
}"""
"""When each stage of the first page has ended, milliseconds since the navigation's start."""
DRAWN = """() => ['usable', 'first-contentful-paint'].every(each => performance.getEntriesByName(each).length)"""
USABLE = """() => document.querySelectorAll('.picture a').length
  && !document.querySelector('main [role=status]')"""
"""Boxes are there, with all of their tasks."""
BYTES = """() => performance.getEntries().reduce((sum, each) => sum + (each.encodedBodySize ?? 0), 0)"""
SEEN = """paused => new Promise(done => {
  const look = () => document.querySelector('.picture a').ariaLabel.includes('pause') === paused
    ? done(performance.timeOrigin + performance.now()) : requestAnimationFrame(look);
  look();
})"""
WRITTEN = """async ([node, availability]) => {
  const seen = new Promise(done => {
    const look = () => document.querySelector('.picture a').ariaLabel.includes('pause') === (availability === 'pause')
      ? done(performance.now()) : requestAnimationFrame(look);
    look();
  });
  const response = await fetch(`/api/nodes/${node}/availability`,
    {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({availability})});
  if (!response.ok) throw new Error(await response.text());
  const acknowledged = performance.now();
  return await seen - acknowledged;
}"""
"""From the answer to the change to the frame whose picture has it, milliseconds; below 0: the picture was first."""


def measure() -> list[Figure]:
    """All figures of this file."""
    return [*measure_feed(), *asyncio.run(measure_small()), *asyncio.run(measure_pages()), *measure_changes()]


def measure_feed() -> list[Figure]:
    """What a console's feed costs, without a browser."""
    made_up = MadeUpCluster(nodes=NODES, tasks=TASKS, services=TASKS // 100, changes=CHANGES)
    rows = ClusterRows()
    for changes in made_up.snapshot():
        rows.apply(changes)
    begin = time.process_time()
    texts = [encode(part()) for part in rows.parts()]
    encoding = time.process_time() - begin
    load = asyncio.run(_feed_seconds(made_up)) / (INCREMENTS * INTERVAL_SECONDS)
    compressed = len(gzip.compress("".join(texts).encode(), 6))
    return [
        Figure(f"snapshot of {MADE_UP}, encoding", encoding * 1000, "ms of a processor", scope=PART),
        Figure(f"snapshot of {MADE_UP}, compressed", compressed / 1000, "kB", scope=PART),
        Figure(f"feed, {CHANGES} changes a second", load * 100, "% of a processor", scope=PART),
    ]


async def _feed_seconds(made_up: MadeUpCluster) -> float:
    """Processor time of a feed with two readers for so many increments, as fast as they come."""
    ready = [*made_up.snapshot(), ClusterChanges(complete=True)]
    increments = [made_up.increment() for _ in range(INCREMENTS)]

    async def watch() -> AsyncGenerator[ClusterChanges]:
        for each in [*ready, *increments]:
            yield each
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    async def read() -> float:
        seen = 0
        async with aclosing(feed.messages()) as messages:
            async for message in messages:
                if message == '{"type":"complete"}':
                    begin = time.process_time()
                seen += message.startswith('{"type":"changes"')
                if seen == INCREMENTS:
                    return time.process_time() - begin
        raise AssertionError("the feed has ended")

    feed = LiveFeed(watch)
    running = asyncio.create_task(feed.run())
    try:
        return max(await asyncio.gather(read(), read()))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def measure_small() -> list[Figure]:
    """The first page of a cluster as people begin with."""
    made_up = MadeUpCluster(nodes=FEW_NODES, tasks=FEW_TASKS, services=1, changes=0)
    async with made_up_console(made_up) as (console, address), chromium() as browser:
        await asyncio.sleep(SETTLE_SECONDS)
        return await _first_pages(browser, console, address, f"first page, {FEW_NODES} nodes and {FEW_TASKS} tasks")


async def measure_pages(nodes: int = NODES, tasks: int = TASKS, changes: int = CHANGES) -> list[Figure]:
    """The first page, frames, memory and changes over a cluster that is made up."""
    made_up = MadeUpCluster(nodes=nodes, tasks=tasks, services=max(1, tasks // 100), changes=changes)
    async with made_up_console(made_up) as (console, address), chromium() as browser:
        await asyncio.sleep(SETTLE_SECONDS)
        found = await _empty_page(browser, address)
        found += await _first_pages(browser, console, address, "first page")
        page = await _open(browser, f"{address}#token={console.one_time_token()}")
        await page.wait_for_function(USABLE)
        await asyncio.sleep(SETTLE_SECONDS)
        found += await _frames(browser, page)
        elements = await page.evaluate("document.querySelectorAll('*').length")
        found += [
            Figure("overview, memory of its process, PSS", browser.memory_mib(of_pages=True), "MB", at_most=300),
            Figure("overview, memory of the whole browser, PSS", browser.memory_mib(), "MB"),
            Figure("overview, elements of the document", elements, ""),
        ]
        return found + await _changes_under_load(page, made_up)


async def _open(browser: Chromium, address: str) -> Page:
    context = await browser.browser.new_context(viewport=VIEWPORT)
    page = await context.new_page()
    await page.goto(address)
    return page


async def _empty_page(browser: Chromium, address: str) -> list[Figure]:
    """What the browser costs without the console's pages."""
    before = browser.processor_seconds()
    page = await _open(browser, f"{address}licences.txt")
    cost = browser.processor_seconds() - before
    await asyncio.sleep(SETTLE_SECONDS)
    found = [
        Figure("an empty page, processor of the browser", cost * 1000, "ms"),
        Figure("an empty page, memory of the whole browser, PSS", browser.memory_mib(), "MB"),
    ]
    await page.context.close()
    return found


async def _first_pages(browser: Chromium, console: Console, address: str, title: str) -> list[Figure]:
    """From the address to a picture of everything, in a window that has nothing yet; signing in included."""
    rounds = [await _first_page(browser, f"{address}#token={console.one_time_token()}") for _ in range(1 + ROUNDS)][1:]
    middle = {name: p50([each[name] for each in rounds]) for name in rounds[0]}
    stages = [each for each in middle if each not in ("usable", "browser", "thread", "bytes")]
    return [
        Figure(f"{title} usable, median", middle["usable"] / 1000, "s", at_most=0.3),
        *(Figure(f"{title}, until {each}, median", middle[each], "ms", scope=PART) for each in stages),
        Figure(f"{title}, processor of the page's thread, median", middle["thread"], "ms"),
        Figure(f"{title}, processor of the browser, median", middle["browser"], "ms"),
        Figure(f"{title}, compressed", middle["bytes"] / 1000, "kB", at_most=250),
    ]


async def _first_page(browser: Chromium, address: str) -> dict[str, float]:
    """When its stages have ended, and what it costs. The window is open before: Chromium makes its own parts then."""
    page = await _open(browser, "about:blank")
    await page.add_init_script(STAGES.replace("USABLE", USABLE))
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    await asyncio.sleep(WINDOW_SECONDS)
    before = browser.processor_seconds()
    await page.goto(address)
    await page.wait_for_function(DRAWN, polling=50)
    cost, thread = browser.processor_seconds() - before, await _thread_seconds(session)
    found: dict[str, float] = await page.evaluate(TIMES)
    found |= {"browser": cost * 1000, "thread": thread * 1000, "bytes": await page.evaluate(BYTES)}
    await page.context.close()
    return found


async def _thread_seconds(session: CDPSession) -> float:
    """That the page's own thread has used."""
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


async def _frames(browser: Chromium, page: Page) -> list[Figure]:
    """While tasks change. A thread's time is the page's own; the other processes compose and paint."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    own, all_of_it = await _thread_seconds(session), browser.processor_seconds()
    times = await page.evaluate(FRAMES, SECONDS)
    own, all_of_it = await _thread_seconds(session) - own, browser.processor_seconds() - all_of_it
    title = f"overview, {CHANGES} changes a second"
    return [
        Figure(f"{title}, frames a second", len(times) / SECONDS, "frames/s", at_least=30),
        Figure(f"{title}, frame, p99", p99(times), "ms"),
        Figure(f"{title}, page's thread, a frame", own / len(times) * 1000, "ms of a processor"),
        Figure(f"{title}, whole browser, a frame", all_of_it / len(times) * 1000, "ms of a processor"),
        Figure(f"{title}, whole browser", all_of_it / SECONDS * 100, "% of a processor"),
    ]


async def _changes_under_load(page: Page, made_up: MadeUpCluster) -> list[Figure]:
    found = []
    for number in range(CHANGE_ROUNDS):
        paused = number % 2 == 0
        seen = asyncio.ensure_future(page.evaluate(SEEN, paused))
        await asyncio.sleep(0.1 + number * 0.007)
        begin = time.time()
        made_up.set_availability(0, NodeSpec.PAUSE if paused else NodeSpec.ACTIVE)
        found.append(await seen - begin * 1000)
    title = f"a manager's message to the picture, {CHANGES} changes a second"
    return [
        Figure(f"{title}, p50", p50(found), "ms", at_most=200, scope=PART),
        Figure(f"{title}, p99", p99(found), "ms", scope=PART),
    ]


def measure_changes() -> list[Figure]:
    """A node is paused and activated in a real cluster: from the answer to the write to the picture."""
    with cluster(hosts=1, warm=False) as bed:
        bed.playground.start_console()
        found = asyncio.run(_changes(console_server.address_of(bed.playground.layout)))
    return [
        Figure("a change's answer to the picture, p50", p50(found), "ms", at_most=200),
        Figure("a change's answer to the picture, p99", p99(found), "ms"),
    ]


async def _changes(address: str) -> list[float]:
    async with chromium() as browser:
        page = await _open(browser, address)
        await page.wait_for_function(USABLE)
        found = []
        for number in range(CHANGE_ROUNDS):
            await asyncio.sleep(0.3)
            found.append(await page.evaluate(WRITTEN, ["h1", "pause" if number % 2 == 0 else "active"]))
        return found


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:4]]
    print(table([*asyncio.run(measure_small()), *asyncio.run(measure_pages(*given))] if given else measure()))
