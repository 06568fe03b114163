"""Who may push and pull: passwords over TLS with an authority of one's own, signed tokens."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from cli.images.push import push
from cli.playground.registry_server import RegistryAccess
from shoal.distribution.check_login import check_login
from shoal.errors import InvalidInput, Unauthenticated, Unavailable
from tests.integration.images.rig import (
    QUICK,
    ignore,
    settings,
    small_archive,
    store_in,
)
from tests.integration.registry_fixture import (
    CertifiedKey,
    make_certificate,
    make_htpasswd,
    running_registry,
)


def test_the_systems_authorities_are_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        keys = make_certificate(tmp_path / "tls")
        htpasswd = make_htpasswd(tmp_path / "htpasswd", "deploy", "open sesame")
        password = tmp_path / "password"
        password.touch(mode=0o600)
        password.write_text("open sesame")
        security = RegistryAccess(keys.certificate, keys.key, htpasswd)
        monkeypatch.setenv("SSL_CERT_FILE", str(keys.certificate))
        async with running_registry(tmp_path / "registry", security=security) as server:
            known = settings("registry.example:5000", server.endpoint, login=("deploy", password))
            assert (await push(small_archive(tmp_path), "registry.example:5000/small:1", known, ignore)).blobs_sent

    asyncio.run(run())


def test_password_and_own_authority(tmp_path: Path) -> None:
    async def run() -> None:
        keys = make_certificate(tmp_path / "tls")
        htpasswd = make_htpasswd(tmp_path / "htpasswd", "deploy", "open sesame")
        password = tmp_path / "password"
        password.write_text("open sesame\n")
        password.chmod(0o600)
        security = RegistryAccess(keys.certificate, keys.key, htpasswd)
        async with running_registry(tmp_path / "registry", security=security) as server:
            domain = "registry.example:5000"
            reference, archive = f"{domain}/small:1", small_archive(tmp_path)
            known = settings(domain, server.endpoint, ca_file=keys.certificate, login=("deploy", password))
            pushed = await push(archive, reference, known, ignore)
            store = store_in(tmp_path / "images", known)
            assert (await store.ensure(reference, ignore)).digest == pushed.digest
            await store.aclose()
            with pytest.raises(Unauthenticated, match=r"requires authentication for .*registries.toml"):
                await push(archive, reference, settings(domain, server.endpoint, ca_file=keys.certificate), ignore)
            with pytest.raises(Unavailable, match="certificate"):
                await push(archive, reference, settings(domain, server.endpoint), ignore, policy=QUICK)
            password.write_text("guess")
            with pytest.raises(Unauthenticated):
                await push(archive, reference, known, ignore)
            password.chmod(0o644)
            with pytest.raises(InvalidInput, match="chmod 600"):
                await push(archive, reference, known, ignore)

    asyncio.run(run())


def signed_token(keys: CertifiedKey, scopes: list[str]) -> str:
    """A token as the distribution's "Token Authentication Implementation" wants it: ES256, key id of libtrust."""
    access = [
        {"type": kind, "name": name, "actions": actions.split(",")}
        for kind, name, actions in (scope.split(":") for scope in scopes)
    ]
    public = keys.private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    fingerprint = base64.b32encode(hashlib.sha256(public).digest()[:30]).decode()
    key_id = ":".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))
    now = int(time.time())
    claims = {
        "iss": "tests", "sub": "deploy", "aud": "shoal", "jti": "1",
        "nbf": now - 10, "iat": now, "exp": now + 300, "access": access,
    }  # fmt: skip
    parts = [_base64url(json.dumps(each).encode()) for each in ({"typ": "JWT", "alg": "ES256", "kid": key_id}, claims)]
    signature = keys.private.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256()))
    raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))
    return ".".join([*parts, _base64url(raw)])


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@asynccontextmanager
async def token_server(keys: CertifiedKey, authorization: str, asked: list[list[str]]) -> AsyncGenerator[str]:
    """Gives tokens for whatever is asked to who has the password; yields its realm."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        scopes = parse_qs(urlsplit(request.split()[1]).query).get("scope", [])
        asked.append(scopes)
        allowed = f"authorization: {authorization}".lower() in request.lower()
        status, body = ("200 OK", json.dumps({"token": signed_token(keys, scopes)})) if allowed else ("401 No", "{}")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"


def test_tokens(tmp_path: Path) -> None:
    async def run() -> None:
        keys, asked = make_certificate(tmp_path / "keys"), list[list[str]]()
        password = tmp_path / "password"
        password.write_text("secret")
        password.chmod(0o600)
        expected = "Basic " + base64.b64encode(b"deploy:secret").decode()
        async with token_server(keys, expected, asked) as realm:
            token = {"realm": realm, "service": "shoal", "issuer": "tests", "rootcertbundle": str(keys.certificate)}
            async with running_registry(tmp_path / "registry", security=RegistryAccess(token=token)) as server:
                domain, archive = f"127.0.0.1:{server.port}", small_archive(tmp_path)
                known = settings(domain, server.endpoint, login=("deploy", password))
                pushed = await push(archive, f"{domain}/small:1", known, ignore)
                assert asked == [["repository:small:pull"], ["repository:small:pull,push"]]
                store = store_in(tmp_path / "images", known)
                assert (await store.ensure(f"{domain}/small:1", ignore)).digest == pushed.digest
                assert asked[2:] == [["repository:small:pull"]]
                await store.aclose()
                with pytest.raises(Unauthenticated, match="requires authentication"):
                    await push(archive, f"{domain}/small:1", settings(domain, server.endpoint), ignore)

    asyncio.run(run())


@asynccontextmanager
async def exchange_server(keys: CertifiedKey, identity: str, asked: list[dict[str, list[str]]]) -> AsyncGenerator[str]:
    """Gives tokens for an identity token in a form; yields its realm."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        form = parse_qs((await reader.readexactly(length)).decode())
        asked.append(form)
        allowed = head.startswith("post /token ") and form.get("refresh_token") == [identity]
        scopes = " ".join(form.get("scope", [])).split()
        text = json.dumps({"access_token": signed_token(keys, scopes)}) if allowed else "{}"
        status = "200 OK" if allowed else "401 No"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"


def test_identity_tokens_are_exchanged_and_go_to_the_token_server_alone(tmp_path: Path) -> None:
    async def run() -> None:
        keys, asked = make_certificate(tmp_path / "keys"), list[dict[str, list[str]]]()
        async with exchange_server(keys, "refresh me", asked) as realm:
            token = {"realm": realm, "service": "shoal", "issuer": "tests", "rootcertbundle": str(keys.certificate)}
            async with running_registry(tmp_path / "registry", security=RegistryAccess(token=token)) as server:
                domain, archive = f"127.0.0.1:{server.port}", small_archive(tmp_path)
                known = settings(domain, server.endpoint)
                right = known.with_login(domain, "", "", identity_token="refresh me")
                await push(archive, f"{domain}/small:1", right, ignore)
                assert asked[-1] == {
                    "grant_type": ["refresh_token"],
                    "client_id": ["shoal"],
                    "service": ["shoal"],
                    "scope": ["repository:small:pull,push"],
                    "refresh_token": ["refresh me"],
                }
                with pytest.raises(Unauthenticated, match="requires authentication") as caught:
                    wrong = known.with_login(domain, "", "", identity_token="other")
                    await push(archive, f"{domain}/small:1", wrong, ignore)
                assert "other" not in str(caught.value)
                await check_login(right.find(domain))
                with pytest.raises(Unauthenticated, match="incorrect user name or password"):
                    await check_login(known.with_login(domain, "ann", "x").find(domain))

    asyncio.run(run())
