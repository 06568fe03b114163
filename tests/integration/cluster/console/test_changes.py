"""Changes of services and nodes in a real browser: updates, jobs, drains, with the command line of each."""

import re

from playwright.sync_api import Page, expect

from tests.integration.cluster.console.conftest import HELLO, OpenPage
from tests.integration.cluster.harness import Cluster

NEWER = "registry:5000/hello:2"


def command(page: Page, line: str) -> None:
    """The change that was just made is shown as a command line."""
    expect(page.get_by_role("region", name="The same on the command line").locator("code")).to_have_text(line)


def test_an_update_is_previewed_promoted_and_rolled_back(clean: Cluster, open_page: OpenPage) -> None:
    clean.shoal("service", "create", "--name", "web", "--replicas", "2", "--update-canary", "1", HELLO)
    page = open_page("/services/web")
    page.get_by_role("button", name="Update…").click()
    dialog = page.get_by_role("dialog")
    image = dialog.get_by_label("Image")
    expect(image).to_have_value(re.compile("hello:1"))
    image.fill(NEWER)
    dialog.get_by_label("Tasks updated at once").fill("2")
    dialog.get_by_label("Limit of memory").fill("128M")
    dialog.get_by_role("button", name="Show what changes").click()
    expect(dialog.get_by_role("list", name="Where tasks go").get_by_role("listitem")).not_to_have_count(0)
    changes = f"--image {NEWER} --limit-memory 128M --update-parallelism 2"
    expect(dialog.locator(".command code")).to_have_text(f"shoal service update {changes} web")
    expect(dialog.locator(".difference")).to_contain_text("task.limits.memory_bytes")
    dialog.get_by_role("button", name="Update", exact=True).click()
    update = page.get_by_role("region", name="Update in progress")
    expect(update).to_contain_text("canary")
    update.get_by_role("button", name="Pause").click()
    command(page, "shoal service pause web")
    update.get_by_role("button", name="Resume").click()
    update.get_by_role("button", name="Promote").click()
    command(page, "shoal service promote web")
    expect(update).to_have_count(0)
    page.get_by_role("link", name="Revisions").click()
    page.get_by_role("button", name="What changed").first.click()
    expect(page.locator("ins", has_text="hello:2").first).to_be_visible()
    page.get_by_role("button", name="Roll back to it").first.click()
    command(page, "shoal service rollback --to 1 web")
    clean.until(lambda: {each["image"] for each in clean.tasks("web")} == {HELLO}, "the image before")


def test_a_scheduled_job_is_run_now(clean: Cluster, open_page: OpenPage) -> None:
    create = ("service", "create", "--mode", "replicated-job")
    clean.shoal(*create, "--name", "report", "--schedule", "0 0 1 1 *", HELLO, "true")
    clean.shoal(*create, "--name", "once", HELLO, "true")
    page = open_page("/services/report?tab=runs")
    runs = page.get_by_role("table", name="Runs")
    expect(page.get_by_text("It has not run yet.")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    command(page, "shoal service run report")
    expect(runs).to_contain_text("succeeded")
    page.goto("/services/once")
    page.get_by_role("button", name="Run again").click()
    command(page, "shoal service update --force once")
    expect(page).to_have_url(re.compile("tab=runs$"))
    expect(runs.get_by_role("row").filter(has_text="succeeded")).to_contain_text(re.compile("^2"))


def test_a_job_has_its_runs_and_a_node_is_drained(clean: Cluster, open_page: OpenPage) -> None:
    clean.shoal("service", "create", "--name", "report", "--mode", "replicated-job", HELLO, "true")
    page = open_page("/jobs")
    page.get_by_role("link", name="report").click()
    expect(page.get_by_role("table", name="Runs")).to_contain_text("succeeded")
    page.locator("main").get_by_role("link", name="Events").click()
    expect(page.get_by_role("table", name="Events")).to_contain_text("report")
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", HELLO)
    page.goto("/services")
    page.get_by_label("Filter by name, image or label").fill("rep")
    expect(page).to_have_url(re.compile("q=rep$"))
    services = page.get_by_role("table", name="Services")
    expect(services).to_contain_text("report")
    expect(services).not_to_contain_text("web")
    page.goto("/services/web?tab=usage")
    expect(page.locator("figcaption", has_text="Memory")).to_contain_text(re.compile("[0-9] [KM]iB"))
    page.goto("/nodes/h3")
    page.get_by_role("button", name="Drain").click()
    command(page, "shoal node update --availability drain h3")
    expect(page.locator("main h1")).to_contain_text("drain")
    expect(page.get_by_role("heading", name="0 tasks")).to_be_visible()
    page.get_by_role("button", name="Activate").click()
    expect(page.locator("main h1")).not_to_contain_text("drain")
    page.goto("/networks")
    page.get_by_role("button", name="Check how nodes reach each other").click()
    expect(page.locator(".matrix tbody tr")).to_have_count(3)
