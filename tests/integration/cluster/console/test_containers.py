"""Containers and images of one's own in a real browser, over a real cluster; services by form."""

import re
import tarfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.integration.cluster.console.conftest import HELLO, OpenPage
from tests.integration.cluster.harness import Cluster

HOSTILE = "a <img src=x onerror=alert(1)>.txt"
DROP = """async name => {
  const dropped = new DataTransfer();
  dropped.items.add(new File(["dropped"], name));
  const event = new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true});
  document.querySelector(".drop").dispatchEvent(event);
}"""


def test_a_container_is_run_by_form_and_lives_on_its_page(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/run")
    page.get_by_label("Image", exact=True).fill(HELLO)
    page.get_by_label("Name", exact=True).fill("box")
    page.get_by_label("Command").fill("sh -c 'echo hello; sleep 1000'")
    page.get_by_label("Ports, one a line").fill("18099:x")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_label("Ports, one a line")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Ports, one a line").fill("18099:80")
    line = f"shoal run -d --name box --publish 18099:80 {HELLO} sh -c 'echo hello; sleep 1000'"
    expect(page.locator("main code")).to_have_text(line)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page).to_have_url(re.compile("/containers/box$"))
    heading = page.locator("main h1")
    expect(heading).to_contain_text("running")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(heading).to_contain_text("paused")
    page.get_by_role("button", name="Unpause").click()
    expect(heading).to_contain_text("running")
    page.get_by_role("link", name="Processes").click()
    expect(page.get_by_role("table", name="Processes")).to_contain_text("sleep 1000")
    page.get_by_role("button", name="Kill…").click()
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(heading).to_contain_text("exited with code 137")
    page.get_by_role("link", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("hello")
    page.get_by_role("button", name="Rename…").click()
    page.get_by_role("dialog").get_by_label("New name").fill("pot")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(page).to_have_url(re.compile("/containers/pot$"))
    page.get_by_role("button", name="Start", exact=True).click()
    expect(heading).to_contain_text("running")
    page.get_by_role("button", name="Limits…").click()
    page.get_by_role("dialog").get_by_label("Memory").fill("64M")
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    expect(page.locator("main")).to_contain_text("64 MiB")
    page.get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("pot")
    page.get_by_role("dialog").get_by_role("button", name="Remove container").click()
    expect(page).to_have_url(re.compile("/containers$"))
    assert clean.shoal("ps", "-aq").strip() == ""


def test_files_go_into_a_container_and_come_out(clean: Cluster, open_page: OpenPage, tmp_path: Path) -> None:
    clean.shoal("run", "-d", "--name", "box", HELLO)
    content = bytes(range(256)) * 20_000
    (tmp_path / HOSTILE).write_bytes(content)
    page = open_page("/containers/box?tab=files")
    page.get_by_role("link", name="tmp/", exact=True).click()
    expect(page).to_have_url(re.compile("path=%2Ftmp$"))
    page.get_by_label("Upload files").set_input_files(tmp_path / HOSTILE)
    files = page.get_by_role("table", name="Files")
    expect(files).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    page.evaluate(DROP, "dropped")
    uploads = page.get_by_role("list", name="Uploads")
    expect(uploads.get_by_role("listitem").filter(has_text="dropped")).to_contain_text("done")
    expect(files).to_contain_text("dropped")
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Download {HOSTILE}", exact=True).click()
    assert Path(download.value.path()).read_bytes() == content
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as tar", exact=True).click()
    with tarfile.open(download.value.path()) as tar:
        assert sorted(tar.getnames()) == ["tmp", f"tmp/{HOSTILE}", "tmp/dropped"]
    assert clean.shoal("exec", "box", "cat", "/tmp/dropped") == "dropped"
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_text("below")
    page.get_by_label("Upload a directory").set_input_files(tmp_path / "deep")
    expect(uploads.get_by_role("listitem").filter(has_text="deep/er/file")).to_contain_text("done")
    expect(files).to_contain_text("deep/")
    assert clean.shoal("exec", "box", "cat", "/tmp/deep/er/file") == "below"
    page.go_back()
    expect(files).to_contain_text("etc/")
    page.goto("/containers/box?tab=files&path=/proc")
    expect(page.get_by_role("alert")).to_contain_text("file system of the kernel")


def test_an_image_is_pulled_named_pushed_and_removed(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/images")
    page.get_by_role("button", name="Pull…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill(HELLO)
    expect(dialog.locator("code")).to_have_text(f"shoal pull {HELLO}")
    dialog.get_by_role("button", name="Pull", exact=True).click()
    expect(dialog.get_by_role("list", name="Layers").get_by_role("listitem")).not_to_have_count(0)
    dialog.get_by_role("link", name=HELLO).click()
    expect(page.locator("main h1")).to_have_text(HELLO)
    page.get_by_role("button", name="Tag…").click()
    page.get_by_role("dialog").get_by_label("New name").fill("registry:5000/team/web:9")
    page.get_by_role("dialog").get_by_role("button", name="Add").click()
    names = page.get_by_role("region", name="Names")
    expect(names).to_contain_text("registry:5000/team/web:9")
    page.get_by_role("button", name="Push…").click()
    dialog.get_by_role("combobox").select_option("registry:5000/team/web:9")
    dialog.get_by_role("button", name="Push", exact=True).click()
    expect(dialog).to_contain_text("Pushed: ")
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Remove registry:5000/team/web:9").click()
    dialog.get_by_role("textbox").fill("registry:5000/team/web:9")
    dialog.get_by_role("button", name="Remove image").click()
    expect(names).not_to_contain_text("team/web")
    assert "team/web" not in clean.shoal("image", "ls")
    clean.shoal("pull", "--quiet", "registry:5000/team/web:9")
    clean.shoal("rmi", "registry:5000/team/web:9")


def test_a_service_is_created_by_form_after_it_was_planned(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/create-service")
    create = page.get_by_role("button", name="Create", exact=True)
    page.get_by_label("Name", exact=True).fill("Web!")
    page.get_by_label("Image", exact=True).fill(HELLO)
    page.get_by_label("Replicas").fill("3")
    page.get_by_role("button", name="Show where it goes").click()
    expect(page.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(create).to_be_disabled()
    page.get_by_label("Name", exact=True).fill("web")
    page.get_by_label("Volumes, one a line").fill("data:/data:ro")
    page.get_by_role("button", name="Show where it goes").click()
    plan = page.get_by_role("list", name="Where tasks go")
    expect(plan.get_by_role("listitem")).to_have_count(3)
    assert not clean.json("service", "ls", "--format", "json")
    mount = "--mount type=volume,source=data,target=/data,readonly"
    expect(page.locator("main code")).to_have_text(f"shoal service create --name web --replicas 3 {mount} {HELLO}")
    create.click()
    expect(page).to_have_url(re.compile("/services/web$"))
    expect(page.locator("main h1")).to_contain_text("3/3")


def is_left_by_keys(page: Page) -> bool:
    """No trap for the keyboard: Tab leaves the editor within two seconds after Escape, and indents later."""
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    return not page.get_by_label("Compose file").evaluate("element => element.getRootNode().activeElement === element")


def test_the_editor_marks_errors_while_they_are_written(clean: Cluster, open_page: OpenPage) -> None:
    page = open_page("/deploy/shop")
    editor = page.get_by_label("Compose file")
    editor.fill(f"services:\n  web:\n    image: {HELLO}\n    replicas: 2\n")
    expect(page.get_by_role("list", name="Errors in the file")).to_contain_text("replicas")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    page.keyboard.press("Control+a")
    page.keyboard.type("x")
    page.keyboard.press("Control+z")
    expect(editor).to_contain_text("replicas: 2")
    page.keyboard.press("Control+f")
    expect(page.get_by_role("textbox", name="Find")).to_be_focused()
    page.keyboard.press("Escape")
    expect(editor).to_be_focused()
    clean.until(lambda: is_left_by_keys(page), "the keyboard to leave the editor")
    expect(page.get_by_role("button", name="Show the plan")).to_be_focused()
    editor.fill(f"services:\n  web:\n    image: {HELLO}\n")
    expect(page.get_by_text("No errors")).to_be_visible()
    expect(page.locator(".cm-lint-marker-error")).to_have_count(0)
