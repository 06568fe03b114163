"""Compose files in the browser: faults by line, the plan, the deployment."""

from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse, RemoveStackResponse
from shoal.errors import Fault, InvalidInput
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser

GOOD = "services:\n  web:\n    image: hello:1\n    deploy:\n      replicas: 3\n"


def managers() -> FakeManagers:
    change = DeployStackResponse.Change(kind="service", name="shop_web", action="create", id="s1")
    return FakeManagers({"DeployStack": DeployStackResponse(changes=[change]), "RemoveStack": RemoveStackResponse()})


def test_a_plan_and_a_deployment() -> None:
    fake = managers()

    async def scenario(page: Browser) -> None:
        for call, dry_run in (("plan", True), ("deploy", False)):
            response = await page.post(f"/api/stacks/shop/{call}", {"text": GOOD, "prune": True})
            document = await response.json()
            assert (response.status, document["changes"][0]["name"]) == (200, "shop_web")
            (_, sent) = fake.requests[-1]
            assert isinstance(sent, DeployStackRequest)
            assert (sent.stack, sent.dry_run, sent.prune) == ("shop", dry_run, True)
            assert [(each.name, each.replicated.replicas) for each in sent.services] == [("shop_web", 3)]

    with_browser(fake, scenario)


def test_errors_have_their_line() -> None:
    async def scenario(page: Browser) -> None:
        for text, line in (
            ("services:\n  web:\n    image: hello:1\n    replicas: 3\n", 4),
            ("services:\n  web: [", 2),
            ("services:\n  web:\n    image: hello:1\n    ports: ['x']\n", 4),
        ):
            response = await page.post("/api/stacks/shop/plan", {"text": text})
            document = await response.json()
            assert response.status == 400
            assert document["faults"][0]["line"] in (line, line + 1), document

    with_browser(managers(), scenario)


def test_faults_of_managers_have_their_line_too() -> None:
    fake = managers()
    fake.answers["DeployStack"] = InvalidInput([Fault("services.shop_web.task.container.image", "is not there")])

    async def scenario(page: Browser) -> None:
        response = await page.post("/api/stacks/shop/deploy", {"text": GOOD})
        (fault,) = (await response.json())["faults"]
        assert (fault["line"], fault["message"]) == (3, "is not there")

    with_browser(fake, scenario)


def test_no_file_of_the_server_is_read() -> None:
    fake = managers()
    text = GOOD + "secrets:\n  key:\n    file: /etc/passwd\n"
    include = "include:\n  - /etc/passwd\n" + GOOD
    env = GOOD + "    env_file: /etc/environment\n"

    async def scenario(page: Browser) -> None:
        for each in (text, include, env):
            response = await page.post("/api/stacks/shop/plan", {"text": each})
            assert response.status == 400, each
            assert "root:" not in await response.text()

    with_browser(fake, scenario)


def test_what_is_too_large_or_no_text() -> None:
    async def scenario(page: Browser) -> None:
        for document in ({}, {"text": 3}, {"text": "x" * 500_001}):
            assert (await page.post("/api/stacks/shop/plan", document)).status == 400

    with_browser(managers(), scenario)


def test_a_stack_is_removed_by_its_name() -> None:
    fake = managers()

    async def scenario(page: Browser) -> None:
        assert (await page.post("/api/stacks/shop/remove", {"name": "show"})).status == 400
        assert fake.requests == []
        assert (await page.post("/api/stacks/shop/remove", {"name": "shop"})).status == 200

    with_browser(fake, scenario)
