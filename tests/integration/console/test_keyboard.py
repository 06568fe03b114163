"""Where the keyboard and the eye are: on another page and back, after a dialog, in a terminal."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, ViewportSize, async_playwright, expect

from shoal.api.v1.control_pb2 import FileView
from tests.bench.rig.chromium import CHROMIUM, TIMEOUT_MS
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.fakes.console.made_up_console import made_up_console

SECONDS = 240
pytestmark = pytest.mark.timeout(SECONDS + 20)
GO = "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
ZOOMED: ViewportSize = {"width": 640, "height": 360}
"""A window of 1,280 by 720 pixels at 200 %."""
SEARCH_AT_ONCE = """new MutationObserver((_, observer) => {
  if (!document.querySelector('#content h1')) return;
  observer.disconnect();
  window.dispatchEvent(new KeyboardEvent('keydown', {key: 'k', ctrlKey: true}));
}).observe(document, {childList: true, subtree: true});"""
"""A key that is pressed as soon as there is a page, before it has been painted."""
IN_VIEW = """element => {
  const {top, bottom} = element.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
}"""


@asynccontextmanager
async def signed_in(nodes: int = 5, *, first: str = "") -> AsyncGenerator[Page]:
    """A page of the console.

    Args:
        first: a script that runs in it before its own.
    """
    cluster = MadeUpCluster(nodes=nodes, tasks=60, services=6, changes=0, calm=True)
    own = {"CreateSecret": FileView(), "CreateConfig": FileView()}
    async with made_up_console(cluster, own_answers=own) as (console, address), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(TIMEOUT_MS)
        await page.add_init_script(first)
        await page.goto(f"{address}#token={console.one_time_token()}")
        await page.locator("#content h1").wait_for()
        yield page
        await browser.close()


def run(scenario: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario

    asyncio.run(bounded())


def test_a_page_that_is_seen_knows_its_keys() -> None:
    async def scenario() -> None:
        async with signed_in(first=SEARCH_AT_ONCE) as page:
            await expect(page.get_by_role("combobox", name="Search everything")).to_be_focused()

    run(scenario())


def test_another_page_begins_at_its_top_and_has_the_focus() -> None:
    async def scenario() -> None:
        async with signed_in() as page:
            main = page.locator("#content")
            await page.set_viewport_size({"width": 390, "height": 400})
            await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            await page.get_by_role("link", name="h5, ready").click()
            await expect(page).to_have_url(re.compile("/nodes/h5$"))
            await expect(main).to_be_focused()
            assert await page.evaluate("scrollY") == 0
            await page.go_back()
            await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            await expect(main).to_be_focused()
            await page.keyboard.press("Control+K")
            await page.keyboard.type("health")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading", name="Health")).to_be_visible()
            await expect(main).to_be_focused()

    run(scenario())


def test_what_opened_a_dialog_gets_the_focus_back() -> None:
    async def scenario() -> None:
        async with signed_in() as page:
            await page.keyboard.press("Control+K")
            await page.keyboard.type("secrets")
            await page.keyboard.press("Enter")
            opener, dialog = page.get_by_role("button", name="Create…"), page.get_by_role("dialog")
            for leave in (page.keyboard.press("Escape"), dialog.get_by_role("button", name="Cancel").click()):
                await opener.focus()
                await page.keyboard.press("Enter")
                await expect(dialog.get_by_label("Name")).to_be_focused()
                await leave
                await expect(dialog).to_have_count(0)
                await expect(opener).to_be_focused()

    run(scenario())


def test_what_is_chosen_in_the_search_box_is_in_view_with_a_zoom_of_200_percent() -> None:
    async def scenario() -> None:
        async with signed_in() as page:
            await page.set_viewport_size(ZOOMED)
            await page.keyboard.press("Control+K")
            options = page.get_by_role("option")
            await expect(options).to_have_count(12)
            for _ in range(11):
                await page.keyboard.press("ArrowDown")
            await expect(options.last).to_have_attribute("aria-selected", "true")
            handle = await options.last.element_handle()
            await page.wait_for_function(IN_VIEW, arg=handle)

    run(scenario())


def test_a_terminal_is_left_by_its_keys() -> None:
    async def scenario() -> None:
        async with signed_in() as page:
            await page.evaluate(GO, "/terminal/task000000004")
            screen = page.get_by_role("textbox", name="Terminal input")
            await expect(screen).to_be_focused()
            for key in ("Tab", "Escape", "Tab"):
                await page.keyboard.press(key)
                await expect(screen).to_be_focused()
            await page.keyboard.press("Control+Shift+L")
            await expect(page.get_by_role("group", name="After the terminal")).to_be_focused()
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("button", name="Copy")).to_be_focused()
            await screen.focus()
            await page.keyboard.press("Shift+Tab")
            await expect(screen).not_to_be_focused()

    run(scenario())


@pytest.mark.parametrize("kind", ["secret", "config"])
def test_a_file_becomes_a_secret_or_a_config_as_it_is(kind: str, tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(b"\0\xff\r\n")
    (tmp_path / "large").write_bytes(bytes(500 * 1024 + 1))

    async def scenario() -> None:
        async with signed_in() as page:
            await page.get_by_role("link", name=f"{kind.title()}s", exact=True).click()
            await page.get_by_role("button", name="Create…").click()
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Name").fill("key")
            create = dialog.get_by_role("button", name=f"Create {kind}")
            await expect(create).to_be_disabled()
            file = dialog.get_by_label("Or a file, as it is")
            await file.set_input_files(tmp_path / "large")
            await create.click()
            await expect(dialog.get_by_role("alert")).to_have_text(
                "large is too large: 512,001 bytes; the maximum is 512,000"
            )
            await file.set_input_files(tmp_path / "key.der")
            await expect(dialog.get_by_label("Content")).to_be_disabled()
            await expect(dialog.locator("code")).to_have_text(f"shoal {kind} create key key.der")
            async with page.expect_request(lambda each: each.method == "POST") as asked:
                await create.click()
            sent: Any = (await asked.value).post_data_json
            assert sent["name"] == "key" and sent["content_base64"] == "AP8NCg==" and "content" not in sent
            await expect(dialog).to_have_count(0)

    run(scenario())


def test_back_leads_to_where_a_page_and_a_list_were_left() -> None:
    async def scenario() -> None:
        async with signed_in(nodes=400) as page:
            await page.get_by_role("button", name="Large").click()
            await page.wait_for_function("() => (scrollTo(0, 1000), scrollY === 1000)")
            box = page.get_by_role("link", name=re.compile("^h[0-9]+, ready")).first
            await box.evaluate("element => element.click()")  # where it is: Playwright's own would scroll to it
            await expect(page.get_by_role("heading", name="Overview")).to_have_count(0)
            await page.go_back()
            await page.wait_for_function("() => scrollY === 1000")
            await page.get_by_role("link", name="Nodes", exact=True).click()
            rows = page.get_by_role("rowgroup", name="Nodes")
            await rows.evaluate("element => element.scrollTo(0, 5000)")
            link = rows.get_by_role("link", name="h150", exact=True)
            await link.evaluate("element => element.click()")
            await expect(page.get_by_role("heading", name="h150")).to_be_visible()
            await page.go_back()
            await expect(link).to_be_in_viewport()
            assert await rows.evaluate("element => element.scrollTop") == 5000

    run(scenario())
