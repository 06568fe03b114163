"""The cluster's console, and Debian's Chromium, driven by Playwright."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cli.playground import console_server
from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello:1"

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def patient() -> None:
    """What is expected of a page may take as long as what is done with it; Playwright's own bound is 5 s."""
    expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def served(cluster: Cluster) -> Cluster:
    """The cluster with its console, which ends with the playground."""
    cluster.playground.start_console()
    return cluster


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a module; each has windows of its own.

    Not for longer: as long as it is there, Playwright has an event loop in this thread, and others have none.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def address(served: Cluster) -> str:
    """The console's, without a token."""
    return console_server.address_of(served.layout).partition("/#")[0]


@pytest.fixture
def window(chromium: Browser, address: str) -> Iterator[BrowserContext]:
    """A person's window, and what its pages complain of: nothing."""
    context = chromium.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(TIMEOUT_MS)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    own = (address, address.replace("http:", "ws:"))
    context.on("request", lambda each: None if each.url.startswith(own) else complaints.append(each.url))
    yield context
    context.close()
    expected = re.compile(r"WebSocket connection|Failed to load resource|ERR_CONNECTION")
    assert not [each for each in complaints if not expected.search(each)]


@pytest.fixture
def open_page(window: BrowserContext, served: Cluster, clean: Cluster) -> OpenPage:
    """Opens an address of the console, signed in by a token of the command line."""

    def open_(path: str = "/", *, context: BrowserContext = window) -> Page:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(path)
        field = page.get_by_label("Token")
        page.locator("main h1").wait_for()
        if field.is_visible():
            field.fill(served.shoal("console", "token").strip())
            page.get_by_role("button", name="Sign in").click()
        page.locator("#content h1").wait_for()
        return page

    return open_
