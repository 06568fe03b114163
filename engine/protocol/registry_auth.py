"""Credentials of registries as clients send them with a request: `X-Registry-Auth`, `X-Registry-Config`. Pure."""

import base64
import binascii
import json
from dataclasses import dataclass, field

from engine.protocol.errors import bad_request

MAX_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True)
class RegistryAuth:
    """One registry's credentials; all empty: none.

    Attributes:
        identity_token: in place of user and password.
        server: host that they are for, as the client has it; may be empty.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    server: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.username or self.password or self.identity_token)


def parse_auth_header(text: str) -> RegistryAuth:
    """The credentials of `X-Registry-Auth`: JSON in base64url, with or without padding. Nothing and `e30=` are none.

    Raises:
        ApiError: 400, it is not that.
    """
    if not text:
        return RegistryAuth()
    return parse_auth_document(_decode(text, "X-Registry-Auth"), "invalid X-Registry-Auth header")


def parse_auth_config(text: str) -> dict[str, RegistryAuth]:
    """The credentials of `X-Registry-Config`, by the server that the client calls the registry.

    Raises:
        ApiError: 400, it is no map of them.
    """
    if not text:
        return {}
    where = "invalid X-Registry-Config header"
    document = _decode(text, "X-Registry-Config")
    if not isinstance(document, dict):
        raise bad_request(f"{where}: must be an object")
    return {server: parse_auth_document(each, where) for server, each in document.items()}


def _decode(text: str, header: str) -> object:
    """JSON in base64url, with or without padding."""
    try:
        padded = text.strip() + "=" * (-len(text.strip()) % 4)
        document: object = json.loads(
            base64.b64decode(padded.replace("+", "-").replace("/", "_"), altchars=b"-_", validate=True)
        )
    except (ValueError, binascii.Error, RecursionError) as error:
        raise bad_request(f"invalid {header} header: {error}") from None
    return document


def parse_auth_document(document: object, where: str) -> RegistryAuth:
    """The same of an `AuthConfig` document.

    Raises:
        ApiError: 400, it is none; the text begins with `where`.
    """
    if not isinstance(document, dict):
        raise bad_request(f"{where}: must be an object")
    values = {}
    for key in ("username", "password", "identitytoken", "serveraddress", "auth"):
        value = document.get(key, "")
        if not isinstance(value, str):
            raise bad_request(f"{where}: {key} must be a string")
        values[key] = value
    username, password = values["username"], values["password"]
    if not username and values["auth"]:
        username, password = _parse_basic(values["auth"], where)
    return RegistryAuth(username, password, values["identitytoken"], values["serveraddress"])


def _parse_basic(text: str, where: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        raise bad_request(f"{where}: auth must be user:password in base64") from None
    return user, password


def registry_domain(server: str) -> str:
    """The domain, as it stands in references, of what clients call the registry's server: a URL, or a host.

    Docker Hub is known as `https://index.docker.io/v1/`.
    """
    host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return "docker.io" if host in ("", "index.docker.io", "registry-1.docker.io", "docker.io") else host
