"""The console in a real browser, over a real cluster."""

import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, BrowserContext, Page, expect

from cli.playground import console_server
from tests.bench.rig.chromium import TIMEOUT_MS
from tests.integration.cluster.console.conftest import HELLO, OpenPage
from tests.integration.cluster.harness import Cluster

HOSTILE = "<img src=x onerror=alert(1)>"
PAINTED = """colour => {
  const canvas = document.querySelector('.picture canvas'), scale = canvas.width / canvas.clientWidth;
  const [red, green, blue] = canvas.getContext('2d').getImageData(15 * scale, 37 * scale, 1, 1).data;
  return `rgb(${red}, ${green}, ${blue})` === colour;
}"""
"""The first cell of the first box has this colour, as CSS has it."""


def create(cluster: Cluster, name: str = "web", *more: str, replicas: int = 3) -> None:
    cluster.shoal("service", "create", "--name", name, "--replicas", str(replicas), *more, HELLO)


def running(page: Page, text: str) -> None:
    """The heading of a service's page counts so many."""
    expect(page.locator("main h1")).to_contain_text(text)


def is_calm(page: Page) -> None:
    """Nothing is wrong and nothing is changing, so that what is below of that stays where it is."""
    expect(page.get_by_text("Everything runs as it should.")).to_be_visible()
    expect(page.get_by_role("region", name="What is changing")).to_be_hidden()
    expect(page.get_by_role("region", name="Tasks without a node")).to_be_hidden()


def test_the_printed_address_signs_in_once(served: Cluster, chromium: Browser) -> None:
    served.playground.restart_console()
    address = console_server.address_of(served.layout)
    with chromium.new_context() as first, chromium.new_context() as second:
        for each in (first, second):
            each.set_default_timeout(TIMEOUT_MS)
        page = first.new_page()
        page.goto(address)
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        assert "token" not in page.url
        other = second.new_page()
        other.goto(address)
        expect(other.get_by_role("alert")).to_be_visible()
        page.reload()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()


def test_the_overview_moves_as_the_cluster_moves(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/")
    expect(page.get_by_role("list", name="Nodes").get_by_role("listitem")).to_have_count(3)
    create(clean)
    expect(page.get_by_role("link", name="1 running")).to_have_count(3)
    clean.shoal("service", "scale", "web=30")
    expect(page.get_by_role("region", name="Totals")).to_contain_text("30 running tasks")
    expect(page.get_by_role("link", name="10 running")).to_have_count(3)


def test_the_picture_of_nodes_is_used_by_pointer_and_by_keyboard(clean: Cluster, open_page: OpenPage) -> None:
    create(clean)
    page = open_page("/")
    box = page.get_by_role("link", name=re.compile("^h1, ready, 1 running"))
    expect(box).to_be_visible()
    is_calm(page)
    box.hover(position={"x": 15, "y": 37})  # its first cell
    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text(re.compile(r"web\.\d.*running for"))
    expect(box).to_have_attribute("href", re.compile("/tasks/"))
    legend = page.evaluate("getComputedStyle(document.querySelector('.legend .look-running')).backgroundColor")
    page.wait_for_function(PAINTED, arg=legend)
    page.get_by_role("button", name="Small").click()
    expect(page).to_have_url(re.compile(r"/\?view=small$"))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # over "Table" to the boxes, which are one stop
    expect(box).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("link", name=re.compile("^h2, ready"))).to_be_focused()
    expect(tooltip).to_contain_text("CPU 0 CPU of")
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/nodes/h3$"))
    page.go_back()
    page.get_by_role("button", name="Table").click()
    expect(page.get_by_role("table", name="Nodes")).to_contain_text("1 running")


def test_a_resting_pointer_is_told_what_the_picture_has_under_it_by_now(clean: Cluster, open_page: OpenPage) -> None:
    create(clean)
    page = open_page("/")
    expect(page.get_by_role("link", name=re.compile("^h1, ready, 1 running"))).to_be_visible()
    is_calm(page)
    box = page.get_by_role("link", name=re.compile("^h1, ready"))
    box.hover(position={"x": 15, "y": 37})  # its first cell
    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text(re.compile(r"web\.\d.*running for"))
    clean.shoal("service", "rm", "web")
    expect(tooltip).to_contain_text("ready, no tasks")
    expect(box).to_have_attribute("href", re.compile("/nodes/h1$"))
    create(clean, "api")
    expect(tooltip).to_contain_text(re.compile(r"api\.\d.*running for"))
    expect(box).to_have_attribute("href", re.compile("/tasks/"))
    page.mouse.move(1, 1)
    expect(tooltip).to_be_hidden()
    clean.shoal("service", "scale", "api=6")
    expect(page.get_by_role("link", name=re.compile("^h1, ready, 2 running"))).to_be_visible()
    expect(tooltip).to_be_hidden()


def test_a_service_is_scaled_in_one_browser_and_seen_in_another(
    clean: Cluster, open_page: OpenPage, chromium: Browser, address: str
) -> None:
    create(clean)
    mine = open_page("/services/web")
    with chromium.new_context(base_url=address) as other:
        theirs = open_page("/services/web", context=other)
        for page in (mine, theirs):
            running(page, "3/3")
        mine.get_by_role("button", name="One more").click()
        expect(mine.locator(".scale code")).to_have_text("shoal service scale web=4")
        mine.get_by_role("button", name="Scale", exact=True).click()
        for page in (mine, theirs):
            running(page, "4/4")


def test_what_is_wrong_is_said_first(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/")
    create(clean, "never", "--detach", "--constraint", "node.labels.disk == ssd", replicas=2)
    problems = page.get_by_role("region", name="What is wrong")
    expect(problems).to_contain_text("never")
    problems.get_by_role("link", name="never").first.click()
    expect(page).to_have_url(re.compile("/services/never$"))
    page.go_back()
    expect(page.locator("main h1")).to_have_text("Overview")


def test_logs_are_followed_searched_and_paused(clean: Cluster, open_page: OpenPage) -> None:
    create(clean, "talk", replicas=2)
    for task in clean.tasks("talk"):
        clean.shoal("exec", task["id"], "sh", "-c", f"echo '{HOSTILE}' > /proc/1/fd/1")
    page = open_page("/services/talk?tab=logs")
    log = page.get_by_role("log")
    expect(log.get_by_text(HOSTILE)).to_have_count(2)
    assert log.locator("img").count() == 0
    page.get_by_label("Search in the log").fill("nothing like it")
    expect(log.get_by_text(HOSTILE)).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert HOSTILE in Path(download.value.path()).read_text()


def test_a_terminal(clean: Cluster, open_page: OpenPage) -> None:
    create(clean, replicas=1)
    page = open_page("/services/web")
    page.get_by_role("link", name="Terminal in web.1").click()
    screen = page.locator(".terminal .xterm-rows")
    expect(screen).to_contain_text("#")
    page.keyboard.type("echo $((6 * 7)) $TERM\n")
    expect(screen).to_contain_text("42 xterm-256color")
    expect(screen).to_have_css("color", "rgb(255, 255, 255)")  # its styles are there, though no <style> may be
    page.keyboard.type("printf '\\033[38;2;1;2;3mdeep\\033[0m\\n'\n")  # any colour: an attribute of style
    expect(screen.locator("span", has_text=re.compile("^deep$"))).to_have_css("color", "rgb(1, 2, 3)")
    page.keyboard.type("exit 3\n")
    expect(page.get_by_role("status")).to_contain_text("exit code 3")


def test_a_compose_file_is_planned_and_deployed(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/deploy/shop")
    editor = page.get_by_label("Compose file")
    editor.fill("services:\n  web:\n    image: registry:5000/hello:1\n    replicas: 2\n")
    page.get_by_role("button", name="Show the plan").click()
    errors = page.get_by_role("list", name="Errors in the file")
    expect(errors).to_contain_text("Line 4")
    expect(page.get_by_role("button", name="Deploy", exact=True)).to_be_disabled()
    editor.fill("services:\n  web:\n    image: registry:5000/hello:1\n    deploy:\n      replicas: 2\n")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("region", name="Plan")).to_contain_text("create service shop_web")
    page.get_by_role("button", name="Deploy", exact=True).click()
    expect(page.get_by_role("table", name="Services")).to_contain_text("2/2")
    page.get_by_role("button", name="Remove…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Remove stack")).to_be_disabled()
    dialog.get_by_role("textbox").fill("shop")
    dialog.get_by_role("button", name="Remove stack").click()
    clean.until(lambda: not clean.json("service", "ls"), "the stack to go")


def test_a_manager_that_is_restarted_under_an_open_page(clean: Cluster, open_page: OpenPage) -> None:
    create(clean)
    page, events = open_page("/services/web"), open_page("/events")
    running(page, "3/3")
    happened = events.get_by_role("table", name="Events")
    expect(happened).to_contain_text("web.3")
    clean.playground.stop_manager()
    try:
        expect(page.get_by_role("alert")).to_contain_text("What is shown may be old")
        running(page, "3/3")
    finally:
        clean.playground.start_manager()
    expect(page.get_by_role("alert")).to_have_count(0)
    clean.shoal("service", "scale", "web=5")
    running(page, "5/5")
    expect(happened).to_contain_text("web.5")


def test_by_keyboard_alone(clean: Cluster, open_page: OpenPage) -> None:
    create(clean, replicas=1)
    page = open_page("/")
    page.keyboard.press("Control+K")
    expect(page.get_by_role("combobox", name="Search everything")).to_be_focused()
    page.keyboard.type("web")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("web")
    page.keyboard.press("Enter")
    running(page, "1/1")
    for name in ("One more", "Scale"):
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_be_enabled()
        while not button.evaluate("element => element === document.activeElement"):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    running(page, "2/2")


def labels_of(cluster: Cluster, node: str) -> dict[str, str]:
    found: dict[str, str] = cluster.json("node", "inspect", node)[0]["node"]["spec"].get("labels", {})
    return found


def test_hostile_labels_are_text(clean: Cluster, open_page: OpenPage) -> None:
    clean.shoal("node", "update", "--label-add", f"note={HOSTILE}\u202e", "h1")
    page = open_page("/nodes/h1")
    expect(page.locator("main")).to_contain_text(f"note={HOSTILE}")
    assert page.locator("main img").count() == 0
    page.get_by_role("button", name="Remove label note").click()
    expect(page.locator("main")).not_to_contain_text("note=")
    page.get_by_label("New label").fill("shelf=low")
    page.get_by_role("button", name="Add label").click()
    remove = page.get_by_role("button", name="Remove label shelf")
    expect(remove).to_be_visible()  # the label's own; its text was in the field and in the command line before
    assert labels_of(clean, "h1") == {"shelf": "low"}
    remove.click()
    expect(remove).to_have_count(0)
    assert labels_of(clean, "h1") == {}


def test_a_task_has_a_page_on_a_phone_too(clean: Cluster, open_page: OpenPage) -> None:
    create(clean, "talk", replicas=1)
    (task,) = clean.tasks("talk")
    page = open_page("/")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Services").click()
    page.get_by_role("link", name="talk").click()
    page.get_by_role("link", name="talk.1", exact=True).click()
    expect(page).to_have_url(re.compile(f"/tasks/{task['id']}$"))
    expect(page.locator("main h1")).to_contain_text("running")
    expect(page.get_by_role("log")).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 390, "no page is wider than the phone"


def test_a_slow_network(clean: Cluster, open_page: OpenPage, window: BrowserContext) -> None:
    create(clean)
    page = open_page("/services/web")
    session = window.new_cdp_session(page)
    slow = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
    session.send("Network.emulateNetworkConditions", slow)
    page.reload()
    running(page, "3/3")
    clean.shoal("service", "scale", "web=4")
    running(page, "4/4")


def test_a_network_is_created_by_form_and_shows_who_is_on_it(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/networks")
    page.get_by_role("button", name="Create…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("back")
    dialog.get_by_label("No route out of it").check()
    expect(dialog.locator("code")).to_have_text("shoal network create --internal back")
    dialog.get_by_role("button", name="Create network").click()
    page.get_by_role("link", name="back", exact=True).click()
    create(clean, "web", "--network", "back", replicas=2)
    expect(page.get_by_role("list", name="Nodes on the network")).to_contain_text("web.2")
    page.get_by_role("link", name="web.2").click()
    expect(page.locator("main h1")).to_contain_text("web.2 running")


def test_the_search_box_finds_objects_and_actions(clean: Cluster, open_page: OpenPage) -> None:
    clean.shoal("volume", "create", "records")
    page = open_page("/")
    for text, found, address in (
        ("rec", "records volume", "/volumes/records"),
        ("drain h2", "Drain h2 action", "/nodes/h2"),
        ("run a cont", "Run a container action", "/run"),
        ("create a conf", "Create a config action", "/configs"),
    ):
        page.keyboard.press("Control+K")
        expect(page.get_by_role("combobox", name="Search everything")).to_be_focused()
        page.keyboard.type(text)
        expect(page.get_by_role("dialog").get_by_role("option").first).to_have_text(found)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(re.escape(address) + "$"))
    expect(page.get_by_role("dialog", name="Create a config")).to_be_visible()


def test_a_secret_goes_in_and_never_out(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/secrets")
    page.get_by_role("button", name="Create…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("key")
    dialog.get_by_label("Content").fill("very secret")
    dialog.get_by_role("button", name="Create secret").click()
    expect(page.get_by_role("table", name="Secrets")).to_contain_text("key")
    expect(page.locator("body")).not_to_contain_text("very secret")
    assert [each["name"] for each in clean.json("secret", "ls")] == ["key"]


def test_nothing_keeps_a_person_from_any_page(clean: Cluster, open_page: OpenPage) -> None:
    """Rules of accessibility (WCAG 2.2 AA), by axe."""
    create(clean, replicas=1)
    page = open_page("/")
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()
    found = []
    clean.shoal("run", "-d", "--name", "box", HELLO)
    clean.shoal("volume", "create", "records")
    clean.shoal("config", "create", "site", __file__)
    own = ("run", "create-service", "containers/box", "containers/box?tab=files", f"images/{quote(HELLO, safe='')}")
    resources = ("volumes/records", "configs/site")
    for path in (
        "",
        "services/web",
        "deploy/shop",
        "containers",
        "networks",
        "nodes/h1",
        "managers",
        "events",
        *own,
        *resources,
    ):
        page.goto(f"/{path}")
        page.locator("#content h1").wait_for()
        page.wait_for_load_state("networkidle")
        page.evaluate(axe)
        violations = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        found += [(path, each["id"], each["nodes"][0]["html"]) for each in violations]
    assert not found
