"""What else a client serves: secrets, credentials of registries, and what it reads from its standard input."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any
from urllib.parse import urlsplit

import grpc

from engine.buildkit.session.client_session import ClientSession
from engine.buildkit.v1.filesync_pb2 import CredentialsRequest, CredentialsResponse
from engine.buildkit.v1.filesync_pb2_grpc import AuthStub
from engine.buildkit.v1.secrets_pb2 import GetSecretRequest, GetSecretResponse
from engine.buildkit.v1.secrets_pb2_grpc import SecretsStub
from engine.buildkit.v1.upload_pb2_grpc import UploadStub
from shoal.api.v1.builds_pb2 import RegistryCredentials
from shoal.errors import Unavailable

GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"  # noqa: S105  # a method
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
UPLOAD_HOST = "buildkit-session"
CALL_SECONDS = 60.0
"""A credential helper may ask a person."""
_HUB = "docker.io"
_HUB_SERVER = "registry-1.docker.io"
_ABSENT = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)


async def secret_values(session: ClientSession, identifiers: Iterable[str]) -> dict[str, bytes]:
    """The secrets of these names that the client has.

    Raises:
        Unavailable: it cannot say.
    """
    found: dict[str, bytes] = {}
    if not session.serves(GET_SECRET):
        return found
    stub: Any = SecretsStub(session.channel)
    for identifier in identifiers:
        try:
            answer: GetSecretResponse = await stub.GetSecret(GetSecretRequest(id=identifier), timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            if _code(error) in _ABSENT:
                continue
            raise Unavailable(f"the client does not give secret {identifier[:80]}: {_text(error)}") from error
        found[identifier] = answer.data
    return found


async def registry_credentials(session: ClientSession, domains: Iterable[str]) -> dict[str, RegistryCredentials]:
    """The client's credentials for registries, of those that it has some for.

    Raises:
        Unavailable: it cannot say.
    """
    domains = list(dict.fromkeys(domains))
    if not session.serves(CREDENTIALS):
        return {}
    answers = await asyncio.gather(*(_credentials(session, each) for each in domains))
    return {domain: each for domain, each in zip(domains, answers, strict=True) if each is not None}


async def _credentials(session: ClientSession, domain: str) -> RegistryCredentials | None:
    stub: Any = AuthStub(session.channel)
    host = _HUB_SERVER if domain == _HUB else domain
    try:
        answer: CredentialsResponse = await stub.Credentials(CredentialsRequest(host=host), timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        if _code(error) in _ABSENT:
            return None
        raise Unavailable(f"the client does not give credentials for {domain}: {_text(error)}") from error
    if not answer.secret:
        return None
    if not answer.username:
        return RegistryCredentials(identity_token=answer.secret)
    return RegistryCredentials(username=answer.username, password=answer.secret)


async def upload(session: ClientSession, address: str) -> AsyncGenerator[bytes]:
    """What the client reads, by the address that it gave for that.

    Raises:
        Unavailable: it cannot be read.
    """
    parts = urlsplit(address)
    stub: Any = UploadStub(session.channel)
    call: Any = stub.Pull(metadata=[("urlpath", parts.path), ("urlhost", parts.netloc)])
    try:
        async for message in call:
            yield message.data
    except grpc.RpcError as error:
        raise Unavailable(f"the client's input cannot be read: {_text(error)}") from error
    finally:
        call.cancel()


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    code: grpc.StatusCode | None = getattr(error, "code", lambda: None)()
    return code


def _text(error: grpc.RpcError) -> str:
    return (getattr(error, "details", lambda: "")() or str(error))[:500]
