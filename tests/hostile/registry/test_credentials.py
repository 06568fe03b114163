"""Passwords and tokens go to the registry's own origin and to the token server that it names, and to nobody else.

Bound: no request of any of these carries a credential to another origin; no credential, and no signature in a URL, is
in an error or in a log.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shoal.distribution.registry_client import Repository
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, Unauthenticated, Unavailable
from tests.hostile.registry.hostile_server import Answer, Request, answer, failure, redirect, refuse, server
from tests.hostile.registry.rig import LAYER, known, outcome, password_file, read_layer, result, upload
from tests.integration.registry_fixture import make_certificate

PASSWORD = "Basic " + base64.b64encode(b"deploy:open sesame").decode()
TOKEN = answer(json.dumps({"token": "t0ken"}).encode())
TWICE = RetryPolicy(attempts=2, first_seconds=0.01, idle_seconds=5.0, response_seconds=5.0)


def wants(credential: str, challenge: str, then: bytes, request: Request) -> bytes:
    """An answer for who has the credential."""
    return then if request.headers.get("authorization") == credential else refuse(challenge)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_redirects_target_may_not_ask_for_a_login(tmp_path: Path, scheme: str) -> None:
    async def run() -> None:
        async with server(lambda _: TOKEN) as thief:
            challenge = f'{scheme} realm="http://{thief.where}/token",service="s"'
            async with (
                server(lambda _: refuse(challenge, "hand it over")) as storage,
                server(lambda _: redirect(f"http://{storage.where}/blob")) as registry,
            ):
                settings = known(f"http://{registry.where}", password=password_file(tmp_path))
                error = await outcome(read_layer, settings)
        assert (
            isinstance(error, Unavailable)
            and "requires authentication" in str(error)
            and "hand it over" not in str(error)
        )
        assert not thief.requests and not storage.authorizations and not registry.authorizations

    asyncio.run(run())


def test_who_has_left_the_registry_does_not_come_back_with_a_password(tmp_path: Path) -> None:
    async def run() -> None:
        def handle(request: Request) -> bytes:
            if request.path == "/stolen":
                return answer(b"layer")
            return wants(PASSWORD, "Basic realm=r", redirect(f"http://{storage.where}/blob"), request)

        async with server(lambda _: redirect(f"http://{registry.where}/stolen")) as storage, server(handle) as registry:
            settings = known(f"http://{registry.where}", password=password_file(tmp_path))
            assert await result(read_layer, settings) == b"layer"
        stolen = [each for each in registry.requests if each.path == "/stolen"]
        assert stolen and not any("authorization" in each.headers for each in (*stolen, *storage.requests))
        assert registry.authorizations == [PASSWORD]

    asyncio.run(run())


@pytest.mark.parametrize("bearer", [True, False])
def test_an_upload_elsewhere_goes_without_credentials(tmp_path: Path, bearer: bool) -> None:
    async def run() -> None:
        def handle(request: Request) -> bytes:
            if request.method == "HEAD":
                return answer(status="404 Not Found")
            place = answer(b"", f"Location: http://{storage.where}/upload?s=1", status="202 Accepted")
            if bearer:
                return wants("Bearer t0ken", f'Bearer realm="http://{tokens.where}/"', place, request)
            return wants(PASSWORD, "Basic realm=r", place, request)

        async with (
            server(lambda _: refuse("Basic realm=thief")) as storage,
            server(lambda _: TOKEN) as tokens,
            server(handle) as registry,
        ):
            settings = known(f"http://{registry.where}", password=password_file(tmp_path))
            error = await outcome(upload, settings)
        assert "requires authentication" in str(error)
        assert [each.method for each in storage.requests] == ["PUT"] and not storage.authorizations

    asyncio.run(run())


def test_an_upload_that_went_elsewhere_does_not_come_back_with_credentials(tmp_path: Path) -> None:
    """Or the other host would choose what is written with them, and where."""

    async def run() -> None:
        def handle(request: Request) -> bytes:
            if request.method == "HEAD":
                return answer(status="404 Not Found")
            place = answer(b"", f"Location: http://{storage.where}/upload", status="202 Accepted")
            return wants(PASSWORD, "Basic realm=r", place, request)

        def back(_: Request) -> bytes:
            return answer(b"", f"Location: http://{registry.where}/v2/b/manifests/1", status="202 Accepted")

        async def in_pieces(repository: Repository) -> None:
            async def content(offset: int) -> AsyncIterator[bytes]:
                yield b"layer"[offset:]

            await Uploader(repository, chunk_bytes=3).put_blob(LAYER, content)

        async with server(back) as storage, server(handle) as registry:
            settings = known(f"http://{registry.where}", password=password_file(tmp_path))
            error = await outcome(in_pieces, settings)
        assert "which is not allowed" in str(error)
        assert [each.method for each in storage.requests] == ["PATCH"] and not storage.authorizations
        assert {each.method for each in registry.requests} == {"HEAD", "POST"}

    asyncio.run(run())


@pytest.mark.parametrize("bearer", [True, False])
def test_each_endpoint_asks_for_itself(tmp_path: Path, bearer: bool) -> None:
    async def run() -> None:
        asked: list[int] = []

        def handle(request: Request) -> bytes:
            asked.append(1)
            if len(asked) > 2:
                return failure("503 Busy", "later")
            challenge = f'Bearer realm="http://{tokens.where}/"' if bearer else "Basic realm=r"
            return wants("Bearer t0ken" if bearer else PASSWORD, challenge, answer(b"layer"), request)

        async with (
            server(lambda _: TOKEN) as tokens,
            server(lambda _: answer(b"layer")) as mirror,
            server(handle) as registry,
        ):
            urls = f"http://{registry.where}", f"http://{mirror.where}"
            settings = known(*urls, password=password_file(tmp_path))

            async def twice(repository: Repository) -> None:
                await read_layer(repository)
                await read_layer(repository)

            await result(twice, settings)
        assert registry.authorizations and mirror.requests and not mirror.authorizations

    asyncio.run(run())


def test_the_registry_itself_may_name_a_token_server_elsewhere(tmp_path: Path) -> None:
    async def run() -> None:
        def token(request: Request) -> bytes:
            return wants(PASSWORD, "Basic realm=t", TOKEN, request)

        async with server(token) as tokens:
            challenge = f'Bearer realm="http://{tokens.where}/token",service="s"'
            async with server(lambda request: wants("Bearer t0ken", challenge, answer(b"layer"), request)) as registry:
                settings = known(f"http://{registry.where}", password=password_file(tmp_path))
                assert await result(read_layer, settings) == b"layer"
        assert tokens.authorizations == [PASSWORD] and registry.authorizations == ["Bearer t0ken"]

    asyncio.run(run())


@pytest.mark.parametrize("status", ["401 No", "403 No", "404 No", "500 No", "302 Found"])
def test_what_a_token_server_elsewhere_says_is_not_shown(tmp_path: Path, status: str) -> None:
    async def run() -> None:
        async with (
            server(lambda _: failure(status, "internal text")) as tokens,
            server(lambda _: refuse(f'Bearer realm="http://{tokens.where}/t?key=s3cret"')) as registry,
        ):
            settings = known(f"http://{registry.where}", password=password_file(tmp_path))
            error = await outcome(read_layer, settings)
        assert "internal text" not in str(error) and "s3cret" not in str(error)

    asyncio.run(run())


def test_a_token_server_may_not_send_the_password_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            server(lambda _: TOKEN) as thief,
            server(lambda _: redirect(f"http://{thief.where}/")) as tokens,
            server(lambda _: refuse(f'Bearer realm="http://{tokens.where}/t"')) as registry,
        ):
            await outcome(read_layer, known(f"http://{registry.where}", password=password_file(tmp_path)))
        assert tokens.authorizations and not thief.requests

    asyncio.run(run())


def test_a_registry_with_https_leads_nowhere_without_it(tmp_path: Path) -> None:
    async def run() -> None:
        keys, password = make_certificate(tmp_path / "tls"), password_file(tmp_path)
        async with server(lambda _: TOKEN) as plain:

            def upload_there(request: Request) -> bytes:
                if request.method == "HEAD":
                    return answer(status="404 Not Found")
                return answer(b"", f"Location: http://{plain.where}/upload", status="202 Accepted")

            cases = (
                (read_layer, lambda _: refuse(f'Bearer realm="http://{plain.where}/token"')),
                (read_layer, lambda _: redirect(f"http://{plain.where}/blob")),
                (upload, upload_there),
            )
            for work, handle in cases:
                async with server(handle, tls=keys) as registry:
                    settings = known(f"https://{registry.where}", password=password, ca_file=keys.certificate)
                    error = await outcome(work, settings)
                assert "HTTPS" in str(error), error
        assert not plain.connections

    asyncio.run(run())


def test_a_registry_on_this_host_names_no_plain_token_server_beyond_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with server(lambda _: refuse('Bearer realm="http://192.0.2.1/token"')) as registry:
            error = await outcome(read_layer, known(f"http://{registry.where}", password=password_file(tmp_path)))
        assert isinstance(error, Unauthenticated) and "without HTTPS" in str(error)

    asyncio.run(run())


@pytest.mark.parametrize(
    "said",
    [
        redirect("http://user:s3cret@127.0.0.1:1/"),
        refuse('Bearer realm="http://user:s3cret@127.0.0.1:1/"'),
        answer(b"", "Location: http://user:s3cret@127.0.0.1:1/", status="202 Accepted"),
        redirect("http://127.0.0.1:1/blob?X-Signature=s3cret"),
        refuse('Bearer realm="http://127.0.0.1:1/?key=s3cret"'),
        answer(b"", "Location: http://127.0.0.1:1/?_state=s3cret", status="202 Accepted"),
    ],
)
def test_secrets_in_urls_are_neither_shown_nor_logged(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        def handle(request: Request) -> bytes:
            return answer(status="404 Not Found") if request.method == "HEAD" else said

        async with server(handle) as registry:
            for work in (read_layer, upload):
                error = await outcome(work, known(f"http://{registry.where}"))
                assert "s3cret" not in str(error)

    caplog.set_level(logging.INFO)
    asyncio.run(run())
    assert "s3cret" not in caplog.text


def test_cookies_are_not_kept() -> None:
    async def run() -> None:
        cookies = [f"Set-Cookie: c{number}={'x' * 100}" for number in range(100)]

        async def twice(repository: Repository) -> None:
            await read_layer(repository)
            await read_layer(repository)

        async with server(lambda _: answer(b"layer", *cookies)) as registry:
            await result(twice, known(f"http://{registry.where}"))
        assert len(registry.requests) == 2 and not any("cookie" in each.headers for each in registry.requests)

    asyncio.run(run())


@pytest.mark.parametrize(
    "token",
    [
        {"token": "t" * 40_000},
        {"token": "x" * 200_000},
        {"token": ["t"]},
        {"token": {"a": 1}},
        {"token": "t", "expires_in": "nan"},
        {"token": "a\r\nX-Injected: 1"},
        {"token": "\x00"},
        {"access_token": 7},
    ],
)
def test_tokens_that_are_none(token: object) -> None:
    async def run() -> None:
        async with (
            server(lambda _: answer(json.dumps(token).encode())) as tokens,
            server(lambda _: refuse(f'Bearer realm="http://{tokens.where}/"')) as registry,
        ):
            error = await outcome(read_layer, known(f"http://{registry.where}"))
        assert isinstance(error, Unauthenticated | InvalidInput) and not registry.authorizations

    asyncio.run(run())


def test_a_registry_that_refuses_every_token_is_asked_twice() -> None:
    async def run() -> None:
        async with (
            server(lambda _: TOKEN) as tokens,
            server(lambda _: refuse(f'Bearer realm="http://{tokens.where}/"')) as registry,
        ):
            error = await outcome(read_layer, known(f"http://{registry.where}"), TWICE)
        assert isinstance(error, Unauthenticated)
        assert len(registry.requests) == 2 and len(tokens.requests) == 1

    asyncio.run(run())


def test_a_mount_is_believed_only_where_it_was_asked_for_and_of_the_blob() -> None:
    async def run() -> None:
        def handle(request: Request) -> Answer:
            if request.method == "HEAD":
                return answer(status="404 Not Found")
            return answer(b"", "Docker-Content-Digest: sha256:" + "0" * 64, status="201 Created")

        async with server(handle) as registry:
            error = await outcome(upload, known(f"http://{registry.where}"))
        assert isinstance(error, InvalidInput) and LAYER.digest in str(error)

    asyncio.run(run())
