"""What services use, and stacks on their way, in a real browser."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.integration.cluster.console.conftest import HELLO, OpenPage
from tests.integration.cluster.harness import Cluster

STACK = """\
services:
  web:
    image: registry:5000/hello:1
  late:
    image: registry:5000/hello:1
    deploy:
      replicas: 2
      placement:
        constraints: [node.labels.stage == open]
"""


def create_with_resources(cluster: Cluster, directory: Path) -> None:
    """A service, and a container, that use a volume; the service uses a secret and a config too."""
    (directory / "file").write_text("first: <b>1</b>\n")
    cluster.shoal("volume", "create", "--label", "team=data", "records")
    for kind, name in (("secret", "key"), ("config", "site")):
        cluster.shoal(kind, "create", name, str(directory / "file"))
    mount = ("--mount", "type=volume,source=records,target=/data")
    cluster.shoal("service", "create", "--name", "web", *mount, "--secret", "key", "--config", "site", HELLO)
    cluster.shoal("run", "-d", "--name", "box", "-v", "records:/data", HELLO)


def update(page: Page, label: str, content: str) -> None:
    page.get_by_role("button", name="Update…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(label, exact=True).fill(content)
    dialog.get_by_label("Labels, a NAME=VALUE a line").fill("team=web")
    expect(dialog.locator("code")).to_contain_text("update --label-add team=web")
    dialog.get_by_role("button", name="Update", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Services that get the new version: web")).to_be_visible()
    expect(page.get_by_role("table", name="Versions")).to_contain_text("newest")


def test_what_a_service_uses_has_pages(clean: Cluster, open_page: OpenPage, tmp_path: Path) -> None:
    create_with_resources(clean, tmp_path)
    page = open_page("/services/web")
    main = page.locator("main")
    main.get_by_role("link", name="records").click()
    expect(page).to_have_url(re.compile("/volumes/records$"))
    expect(main).to_contain_text("team=data")
    expect(main.locator("dl").get_by_role("link", name="box")).to_be_visible()
    data = page.get_by_role("table", name="Nodes with its data")
    expect(data).to_contain_text(re.compile("h[123].*home.*[0-9] (B|KiB)"))
    expect(page.get_by_role("table", name="Tasks").get_by_role("link", name="web.1")).to_be_visible()
    page.go_back()
    main.get_by_role("link", name="site").click()
    expect(page.get_by_role("region", name="Content")).to_have_text("first: <b>1</b>\n")
    update(page, "Content", "second: 2\n")
    expect(page.get_by_role("region", name="Content")).to_have_text("second: 2\n")
    page.goto("/secrets")
    page.get_by_role("table", name="Secrets").get_by_role("link", name="key").click()
    update(page, "New content", "very secret")
    page.reload()
    expect(main).to_contain_text("team=web")
    for never in ("first:", "very secret"):
        expect(page.locator("body")).not_to_contain_text(never)


def test_a_volumes_data_moves_to_another_node(clean: Cluster, open_page: OpenPage) -> None:
    clean.shoal("run", "--name", "box", "--node", "h1", "-v", "records:/data", HELLO, "sh", "-c", "echo 1 > /data/one")
    clean.shoal("rm", "box")
    page = open_page("/volumes/records")
    page.get_by_role("button", name="Move…", exact=True).click()
    dialog = page.get_by_role("dialog")
    nodes = dialog.get_by_label("To node")
    expect(nodes.get_by_role("option")).to_have_text(["h2", "h3"])  # and not where it is
    nodes.select_option("h3")
    expect(dialog.locator("code")).to_have_text("shoal volume move --to h3 records")
    dialog.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Last move")).to_have_text("Last move, from h1 to h3: done")
    expect(page.get_by_role("table", name="Nodes with its data")).to_contain_text(re.compile("h3.*home"))
    assert clean.shoal("run", "--rm", "-v", "records:/data", HELLO, "cat", "/data/one") == "1\n"


def test_a_move_that_waits_is_cancelled(clean: Cluster, open_page: OpenPage) -> None:
    """It waits for a task that does not end when it is asked to, until a file is there; nor would one after it."""
    forever = "trap '' TERM; until test -e /data/go; do sleep 0.1; done"
    mount, grace = ("--mount", "source=records,target=/data"), ("--stop-grace-period", "150s")
    clean.shoal("service", "create", "--name", "db", *mount, *grace, HELLO, "sh", "-c", forever)
    (task,) = clean.tasks("db")
    to = next(host.name for host in clean.layout.all_hosts() if host.name != task["node"])
    clean.shoal("volume", "move", "--detach", "--to", to, "records")
    try:
        page = open_page("/volumes/records")
        move = page.get_by_role("status").filter(has_text=f"Moves from {task['node']} to {to}")
        expect(move).to_contain_text("waiting")
        move.get_by_role("button", name="Cancel the move").click()
        command = page.get_by_role("region", name="The same on the command line").locator("code")
        expect(command).to_have_text("shoal volume move --cancel records")
        expect(move).to_have_count(0)
        last = page.get_by_role("status").filter(has_text="Last move")
        expect(last).to_contain_text(f"from {task['node']} to {to}: cancelled")
    finally:
        clean.run("exec", task["id"], "touch", "/data/go")  # its own end may be that of the container


def test_a_config_that_is_no_text_is_shown_as_bytes(clean: Cluster, open_page: OpenPage, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4
    (tmp_path / "file").write_bytes(content)
    clean.shoal("config", "create", "blob", str(tmp_path / "file"))
    page = open_page("/configs/blob")
    shown = page.get_by_role("region", name="Content")
    expect(shown).to_contain_text("00000040  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  |@ABCDEFGHIJKLMNO|")
    expect(page.locator("main")).to_contain_text("1 KiB, of which these are the first 512 bytes")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert (download.value.suggested_filename, Path(download.value.path()).read_bytes()) == ("blob", content)
    (tmp_path / "newer").write_bytes(b"\0newer\xff")
    page.get_by_role("button", name="Update…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Or a file, as it is").set_input_files(tmp_path / "newer")
    expect(dialog.locator("code")).to_have_text("shoal config update blob newer")
    dialog.get_by_role("button", name="Update", exact=True).click()
    expect(shown).to_contain_text("00000000  00 6e 65 77 65 72 ff")


def test_a_volume_is_removed_from_its_page_by_name(clean: Cluster, open_page: OpenPage) -> None:
    clean.shoal("volume", "create", "records")
    page = open_page("/volumes/records")
    page.get_by_role("button", name="Remove…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Remove volume")).to_be_disabled()
    dialog.get_by_role("textbox").fill("records")
    dialog.get_by_role("button", name="Remove volume").click()
    expect(page).to_have_url(re.compile("/volumes$"))
    expect(page.get_by_text("There is no volume yet.")).to_be_visible()


def test_a_stack_shows_how_far_it_is(clean: Cluster, open_page: OpenPage) -> None:
    """Two of its tasks have no node until this test gives one the label that they ask for, which no other has."""
    page = open_page("/deploy/shop")
    page.get_by_label("Compose file").fill(STACK)
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Deploy", exact=True).click()
    progress = page.get_by_role("region", name="Progress")
    expect(progress.get_by_role("status")).to_have_text("1 of 3 tasks running")
    bar = progress.get_by_role("progressbar", name="Running tasks")
    for attribute, value in (("value", "1"), ("max", "3")):
        expect(bar).to_have_attribute(attribute, value)
    clean.shoal("node", "update", "--label-add", "stage=open", "h2")
    expect(progress).to_have_count(0)
    expect(page.get_by_role("table", name="Services")).to_contain_text("2/2")
    clean.shoal("node", "update", "--label-rm", "stage", "h2")
