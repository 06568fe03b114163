"""A cluster of three hosts with its console, and Debian's Chromium, driven by Playwright."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from cli.playground import console_server, virtual_network
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.leftovers import remove_all
from tests.integration.cluster.subnets import free_subnet

CHROMIUM = "/usr/bin/chromium"
IMAGES = Path(__file__).parents[3] / "build" / "images"
HELLO = "registry:5000/hello:1"
TIMEOUT_MS = 15_000

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def shared_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the images `hello`, for all tests of a run."""
    root = tmp_path_factory.mktemp("console")
    layout = Layout(
        name=f"w{os.getpid() % 100_000}",
        hosts=3,
        subnet=free_subnet(),
        state_root=root / "state",
        run_root=root / "run",
    )
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=print, with_console=True)
    playground.up()
    try:
        cluster = Cluster(playground, root / "config")
        for number in (1, 2):
            archive = IMAGES / f"hello-{number}.tar"
            cluster.shoal("image", "push", "--quiet", str(archive), f"registry:5000/hello:{number}")
        yield cluster
    finally:
        playground.down()
    assert not virtual_network.playground_namespaces(layout)


@pytest.fixture
def cluster(shared_console: Cluster) -> Iterator[Cluster]:
    """The cluster; all but images is removed after the test."""
    yield shared_console
    remove_all(shared_console, keep_images=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each has windows of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def address(cluster: Cluster) -> str:
    """The console's, without a token."""
    return console_server.address_of(cluster.layout).partition("/#")[0]


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
def open_page(window: BrowserContext, cluster: Cluster) -> OpenPage:
    """Opens an address of the console, signed in by a token of the command line."""

    def open_(path: str = "/", *, context: BrowserContext = window) -> Page:
        page = context.new_page()
        page.goto(path)
        field = page.get_by_label("Token")
        page.locator("main h1").wait_for()
        if field.is_visible():
            field.fill(cluster.shoal("console", "token").strip())
            page.get_by_role("button", name="Sign in").click()
        page.get_by_role("navigation", name="Pages").wait_for()
        return page

    return open_
