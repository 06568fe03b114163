"""Where a registry may send its clients, and what comes back from there.

Bound: not one connection to an address that is less public than the registry's own, by whatever name; six requests at
most for one; of a host that is not the registry's own, its name and status alone reach the user.
"""

import asyncio
import socket

import pytest

from shoal.errors import PermissionDenied, ShoalError, Unauthenticated, Unavailable
from tests.hostile.registry.hostile_server import Request, answer, failure, redirect, refuse, server
from tests.hostile.registry.rig import Work, known, outcome, read_layer, result, run_inside, upload

SECRET = "the internal text"
WORK: dict[str, Work] = {
    "manifest": lambda repository: repository.manifest("1"),
    "digest": lambda repository: repository.manifest_digest("1"),
    "layer": read_layer,
}
METADATA = ("169.254.169.254", "100.100.100.200", "fd00:ec2::254")
PUBLIC, PRIVATE = "8.8.4.4", "10.20.30.40"


@pytest.mark.parametrize("work", sorted(WORK))
@pytest.mark.parametrize(
    "said",
    [
        *(failure(status, SECRET) for status in ("400 No", "401 No", "403 No", "404 No", "409 No", "500 No")),
        SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 404 " + SECRET.encode() + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + SECRET.encode() + b"\r\n",
        answer(SECRET.encode()),
        answer(b'{"mediaType": "' + SECRET.encode() + b'"}'),
        redirect("http://" + SECRET.replace(" ", "-") + ".invalid:port/"),
    ],
)
def test_what_another_host_says_is_not_shown(work: str, said: bytes) -> None:
    async def run() -> ShoalError | None:
        async with server(lambda _: said) as internal, server(lambda _: redirect(f"http://{internal.where}/")) as own:
            try:
                await result(WORK[work], known(f"http://{own.where}"))
            except ShoalError as error:
                return error
        return None

    error = asyncio.run(run())
    assert SECRET not in str(error) and SECRET.replace(" ", "-") not in str(error)


def test_what_a_registry_says_is_shown_without_what_a_terminal_obeys() -> None:
    async def run() -> ShoalError:
        async with server(lambda _: failure("400 No", "no\x1b[2J\u202e such\x07 thing\n" + "x" * 1000)) as own:
            return await outcome(WORK["manifest"], known(f"http://{own.where}"))

    text = str(asyncio.run(run()))
    assert "no?[2J? such? thing x" in text and text.isprintable() and len(text) < 500


@pytest.mark.parametrize("work", sorted(WORK))
def test_redirects_end(work: str) -> None:
    async def run() -> None:
        def further(request: Request) -> bytes:
            return redirect(f"/v2/further{len(request.path)}{request.path}")

        async with server(further) as own:
            error = await outcome(WORK[work], known(f"http://{own.where}"))
        assert isinstance(error, Unavailable) and "redirects too often" in str(error)
        assert len(own.requests) == 6

    asyncio.run(run())


@pytest.mark.parametrize("length", [20_000, 60_000, 200_000])
def test_a_place_of_any_length_is_refused(length: int) -> None:
    async def run() -> None:
        async with server(lambda _: redirect("/" + "x" * length)) as own:
            error = await outcome(read_layer, known(f"http://{own.where}"))
        assert isinstance(error, Unavailable) and len(own.requests) == 1 and len(str(error)) < 500

    asyncio.run(run())


def uploads_to(location: str) -> bytes:
    """Where an upload goes on."""
    return answer(b"", f"Location: {location}", status="202 Accepted")


async def leads(registry_at: str, target: str, host: str = "", allowed: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """A registry at an address leads to another one in each way: how often that was reached, and what users read."""
    texts = []
    async with server(lambda _: failure("403 No", SECRET), addresses=[target]) as internal:
        port = internal.where.rpartition(":")[2]
        name = host or (f"[{target}]" if ":" in target else target)
        url = f"http://{name}:{port}/latest/meta-data/"

        def handle(request: Request) -> bytes:
            if request.method == "HEAD":
                return answer(status="404 Not Found")
            return uploads_to(url) if request.method == "POST" else redirect(url)

        for work, answered in ((read_layer, handle), (upload, handle), (read_layer, realm_at(url))):
            async with server(answered, addresses=[registry_at]) as registry:
                error = await outcome(work, known(f"http://{registry.where}", allowed=allowed))
            assert isinstance(error, Unavailable | Unauthenticated | PermissionDenied) and SECRET not in str(error)
            texts.append(str(error))
    return internal.connections, texts


def realm_at(url: str):  # type: ignore[no-untyped-def]  # a handler
    """A registry whose token server is there."""
    return lambda _: refuse(f'Bearer realm="{url}"')


@pytest.mark.parametrize("own", [PUBLIC, PRIVATE, "127.0.0.1", "::1"])
@pytest.mark.parametrize("target", METADATA)
def test_a_clouds_metadata_are_out_of_reach(own: str, target: str) -> None:
    connections, texts = run_inside(leads(own, target), own, *METADATA)
    assert not connections
    assert all("allowed_hosts" in text or "without HTTPS" in text for text in texts), texts


@pytest.mark.parametrize(
    ("own", "target", "host"),
    [
        (PUBLIC, "127.0.0.1", ""),
        (PUBLIC, "127.0.0.1", "localhost"),
        (PUBLIC, "127.0.0.1", "0.0.0.0"),
        (PUBLIC, "127.0.0.1", "127.1"),
        (PUBLIC, "127.0.0.1", "2130706433"),
        (PUBLIC, "127.0.0.1", "0x7f000001"),
        (PUBLIC, "127.0.0.1", "[::ffff:127.0.0.1]"),
        (PUBLIC, "127.0.0.1", "[64:ff9b::7f00:1]"),
        (PUBLIC, "::1", ""),
        (PUBLIC, "::1", "[::]"),
        (PUBLIC, PRIVATE, ""),
        (PUBLIC, "fd00::5", ""),
        (PUBLIC, "169.254.7.7", ""),
        (PRIVATE, "127.0.0.1", ""),
        (PRIVATE, "127.0.0.1", "localhost"),
        (PRIVATE, "169.254.7.7", ""),
    ],
)
def test_no_registry_leads_to_where_it_is_not_itself(own: str, target: str, host: str) -> None:
    connections, texts = run_inside(leads(own, target, host), own, PRIVATE, "fd00::5", "169.254.7.7")
    assert not connections
    assert all("allowed_hosts" in text for text in texts), texts


@pytest.mark.parametrize(
    ("own", "target"),
    [
        (PUBLIC, "9.9.9.10"),
        (PRIVATE, PUBLIC),
        (PRIVATE, "10.9.9.9"),
        ("127.0.0.1", "127.0.0.5"),
        ("127.0.0.1", PRIVATE),
    ],
)
def test_to_where_it_is_as_public_it_may(own: str, target: str) -> None:
    plain_realm_refused = own == "127.0.0.1" and not target.startswith("127.")
    connections, _ = run_inside(leads(own, target), PUBLIC, PRIVATE, "9.9.9.10", "10.9.9.9")
    assert connections == 3 - plain_realm_refused


def test_an_administrator_may_allow_more() -> None:
    connections, _ = run_inside(leads(PUBLIC, PRIVATE, allowed=(PRIVATE,)), PUBLIC, PRIVATE)
    assert connections == 3


def test_names_are_not_looked_up_through_a_proxy_but_addresses_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        def forward(request: Request) -> bytes:
            return redirect("http://169.254.169.254/") if "public.example" in request.target else answer(b"layer")

        async with server(forward) as proxy:
            monkeypatch.setenv("http_proxy", f"http://{proxy.where}")
            monkeypatch.setenv("no_proxy", "direct.example")
            assert "allowed_hosts" in str(await outcome(read_layer, known("http://public.example")))
            assert await result(read_layer, known("http://other.example")) == b"layer"
            assert "is unreachable" in str(await outcome(read_layer, known("http://direct.example")))
        targets = [each.target.partition("/v2/")[0] for each in proxy.requests]
        assert targets == ["http://public.example", "http://other.example"]

    asyncio.run(run())


def test_names_that_lead_to_several_addresses_reach_the_one_that_answers() -> None:
    async def run() -> bytes:
        assert {each[4][0] for each in socket.getaddrinfo("localhost", 1)} >= {"127.0.0.1"}
        async with server(lambda _: answer(b"layer"), addresses=["127.0.0.1"]) as own:
            return await result(read_layer, known(f"http://localhost:{own.where.rpartition(':')[2]}"))

    assert asyncio.run(run()) == b"layer"
