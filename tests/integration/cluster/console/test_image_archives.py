"""Images as files in a real browser, over a real cluster: out of it, into it, and made of a container."""

import json
import tarfile
from pathlib import Path

from playwright.sync_api import expect

from tests.integration.cluster.console.conftest import HELLO, OpenPage
from tests.integration.cluster.harness import Cluster

LOCAL = "team/packed:3"


def test_an_image_is_saved_and_loaded_again(clean: Cluster, open_page: OpenPage, tmp_path: Path) -> None:
    clean.shoal("pull", "--quiet", HELLO)
    clean.shoal("tag", HELLO, LOCAL)
    page = open_page("/images/team%2Fpacked%3A3")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as tar").click()
    assert download.value.suggested_filename.endswith(".tar")
    archive = tmp_path / "packed.tar"
    download.value.save_as(archive)
    with tarfile.open(archive) as tar:
        listed = tar.extractfile("manifest.json")
        assert listed is not None
        names = [name for each in json.load(listed) for name in each["RepoTags"]]
    for each in names:
        clean.shoal("rmi", "--force", each)
    page.goto("/images")
    page.get_by_role("button", name="Load…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Archive").set_input_files(archive)
    expect(dialog.locator(".command code")).to_have_text("shoal load --input packed.tar")
    dialog.get_by_role("button", name="Load", exact=True).click()
    loaded = dialog.get_by_role("list", name="Loaded images").get_by_role("link", name=names[0])
    loaded.click()
    expect(page.locator("main h1")).to_have_text(names[0])
    assert clean.shoal("run", "--rm", names[0], "echo", "it runs") == "it runs\n"


def test_what_is_no_archive_is_refused_by_its_reason(clean: Cluster, open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "not.tar").write_text("no archive")
    page = open_page("/images")
    page.get_by_role("button", name="Load…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Archive").set_input_files(tmp_path / "not.tar")
    dialog.get_by_role("button", name="Load", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("the archive")
    expect(dialog.get_by_role("alert")).not_to_contain_text("shoal-load")


def test_a_container_becomes_an_image(clean: Cluster, open_page: OpenPage) -> None:
    clean.shoal("run", "-d", "--name", "box", HELLO)
    clean.shoal("exec", "box", "sh", "-c", "echo welcome > /etc/motd")
    page = open_page("/containers/box")
    page.get_by_role("button", name="Commit…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the image").fill(LOCAL)
    dialog.get_by_label("Message").fill("a new motd")
    dialog.get_by_label("Changes, a Dockerfile instruction a line").fill('CMD ["cat", "/etc/motd"]')
    changes = """--message 'a new motd' --change 'CMD ["cat", "/etc/motd"]'"""
    expect(dialog.locator(".command code")).to_have_text(f"shoal commit {changes} box {LOCAL}")
    dialog.get_by_role("button", name="Commit", exact=True).click()
    expect(page.locator("main h1")).to_have_text(LOCAL)
    expect(page.get_by_role("table", name="History")).to_contain_text("a new motd")
    assert clean.shoal("run", "--rm", "--entrypoint", "", LOCAL, "cat", "/etc/motd") == "welcome\n"
