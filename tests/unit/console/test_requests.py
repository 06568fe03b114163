"""Who is served: hosts, origins, sessions, and the headers of every response."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from aiohttp import WSServerHandshakeError
from google.protobuf.message import Message

from console.server.request_checks import host_name, is_own_origin, is_served_host
from shoal.api.v1.control_pb2 import ScaleServicesRequest, ScaleServicesResponse
from shoal.errors import Fault, InvalidInput, NotFound
from shoal.identity import sign_in_token
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.on_behalf import ActingUser, metadata_of
from tests.unit.console.console_rig import AUTHORITY, IDENTITY, PAGE, Browser, FakeManagers, Scenario, browser


def with_browser(scenario: Scenario, managers: FakeManagers | None = None, *, signed_in: bool = True) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), browser(managers or FakeManagers(), signed_in=signed_in) as found:
            await scenario(found)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "name"),
    [("127.0.0.1:80", "127.0.0.1"), ("LocalHost", "localhost"), ("[::1]:7", "::1"), ("a.example.", "a.example")],
)
def test_names_in_hosts(host: str, name: str) -> None:
    assert host_name(host) == name
    assert is_served_host(host, frozenset({name}))


@pytest.mark.parametrize("host", ["", ":80", "evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "["])
def test_other_hosts(host: str) -> None:
    assert not is_served_host(host, frozenset({"localhost", "127.0.0.1"}))


def test_origins() -> None:
    host = "console.example:7444"
    own = {"Origin": "https://console.example:7444"}
    assert is_own_origin(own, host=host, required=True)
    assert is_own_origin({**own, "Sec-Fetch-Site": "same-origin"}, host=host, required=True)
    assert not is_own_origin({**own, "Sec-Fetch-Site": "same-site"}, host=host, required=True)
    assert not is_own_origin({"Origin": "https://console.example"}, host=host, required=True)
    assert not is_own_origin({"Origin": "null"}, host=host, required=True)
    assert not is_own_origin({"Origin": "https://["}, host=host, required=True)
    assert not is_own_origin({}, host=host, required=True)
    assert is_own_origin({}, host=host, required=False)
    assert is_own_origin({"Sec-Fetch-Site": "cross-site"}, host=host, required=False)  # a link on another page


def test_another_host_gets_nothing() -> None:
    async def scenario(page: Browser) -> None:
        for path in ("/", "/api/session"):
            response = await page.get(path, Host="evil.example")
            assert response.status == 421
            assert PAGE not in await response.read()

    with_browser(scenario)


def test_every_response_has_the_headers_of_security() -> None:
    async def scenario(page: Browser) -> None:
        for path in ("/", "/services/web", "/assets/app-1.js", "/assets/none.js", "/api/session", "/api/none"):
            headers = (await page.get(path)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"

    with_browser(scenario)


def test_pages_are_for_all_and_calls_for_those_who_have_signed_in() -> None:
    async def scenario(page: Browser) -> None:
        assert await (await page.get("/services/web")).read() == PAGE
        for path in ("/api/session", "/api/services/web", "/api/none"):
            assert (await page.get(path)).status == 401
        with pytest.raises(WSServerHandshakeError) as raised:
            await page.open("/api/feed")
        assert raised.value.status == 401

    with_browser(scenario, signed_in=False)


def test_signing_in_and_out() -> None:
    async def scenario(page: Browser) -> None:
        wrong = await page.post("/api/session", {"token": "x"})
        assert (wrong.status, wrong.cookies) == (401, {})
        token = page.console.one_time_token()
        done = await page.post("/api/session", {"token": token})
        (cookie,) = done.cookies.values()
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        session = await (await page.get("/api/session")).json()
        assert (session["user"], session["context"], session["cluster"]) == ("ada", "prod", "cluster1")
        assert (await page.client.delete("/api/session", headers={"Origin": page.origin})).status == 200
        assert (await page.get("/api/session")).status == 401

    with_browser(scenario, signed_in=False)


def test_another_site_changes_nothing_and_opens_no_stream() -> None:
    managers = FakeManagers({"ScaleServices": ScaleServicesResponse()})

    async def scenario(page: Browser) -> None:
        path, document = "/api/services/web/scale", {"replicas": 3}
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await page.post(path, document, **headers)).status == 403
        assert (await page.client.post(path, json=document)).status == 403
        with pytest.raises(WSServerHandshakeError) as raised:
            await page.client.ws_connect("/api/feed", headers={"Origin": "http://evil.example"})
        assert raised.value.status == 403
        form = await page.client.post(path, data={"replicas": "3"}, headers={"Origin": page.origin})
        assert form.status == 400
        assert managers.requests == []
        assert (await page.post(path, document)).status == 200
        target = ScaleServicesRequest.Target(service="web", replicas=3)
        assert managers.requests == [("ScaleServices", ScaleServicesRequest(targets=[target]))]

    with_browser(scenario, managers)


def test_errors_of_managers_and_of_bodies() -> None:
    fault = Fault("web", "jobs cannot be scaled")
    managers = FakeManagers({"ScaleServices": InvalidInput([fault]), "GetService": NotFound("no service nope")})

    async def scenario(page: Browser) -> None:
        response = await page.post("/api/services/web/scale", {"replicas": 3})
        document = await response.json()
        assert (response.status, document["faults"]) == (400, [{"path": "web", "message": "jobs cannot be scaled"}])
        for body in ({}, {"replicas": -1}, {"replicas": "3"}, {"replicas": True}, [1]):
            assert (await page.post("/api/services/web/scale", body)).status == 400
        own = {"Origin": page.origin, "Content-Type": "application/json"}
        for text in ("{", "[" * 100_000, "\xff"):
            sent = await page.client.post("/api/session", data=text.encode("latin-1"), headers=own)
            assert (sent.status, (await sent.json())["error"]) == (400, "the body is not valid JSON")
        missing = await page.get("/api/services/nope")
        assert (missing.status, (await missing.json())["error"]) == (404, "no service nope")

    with_browser(scenario, managers)


def test_files_are_kept_by_browsers_and_the_first_page_is_not() -> None:
    async def scenario(page: Browser) -> None:
        script = await page.client.get("/assets/app-1.js", headers={"Accept-Encoding": "identity"})
        assert "immutable" in script.headers["Cache-Control"]
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert (await page.get("/")).headers["Cache-Control"] == "no-cache"
        assert (await page.get("/assets/old.js")).status == 404  # never the page in place of a script

    with_browser(scenario)


def test_a_console_for_a_team_names_who_has_signed_in() -> None:
    own = AUTHORITY.issue(CertificateSubject("console", Role.CONSOLE, "cluster1"), datetime.now(UTC))
    managers = FakeManagers({"ScaleServices": ScaleServicesResponse()}, {"Logs": no_lines})

    async def run(identity: Identity, expected: tuple[tuple[str, str], ...]) -> None:
        async with asyncio.timeout(60), browser(managers, signed_in=False, identity=identity) as page:
            token = sign_in_token.make(IDENTITY, number="n1", now=datetime.now(UTC))
            assert (await page.post("/api/session", {"token": token})).status == 200
            assert (await page.post("/api/services/web/scale", {"replicas": 3})).status == 200
            assert managers.acting == expected
            managers.acting = ()
            await (await page.open("/api/logs?target=web")).receive(timeout=5)
            assert managers.acting == expected

    asyncio.run(run(own, metadata_of(ActingUser("ada", Role.ADMIN))))
    asyncio.run(run(IDENTITY, ()))


async def no_lines() -> AsyncGenerator[Message]:
    """A log that is empty."""
    none: list[Message] = []
    for each in none:
        yield each
