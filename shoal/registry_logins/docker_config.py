"""Docker's `config.json`: logins of registries, in the file or with credential helpers.

docker/cli, "Credential stores" and "Credential helper protocol": `docker-credential-<name> get|store|erase`, JSON on
standard input and output. The file is Docker's own: a login counts for both, and whatever else it holds stays.
"""

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.distribution.registries import DOCKER_HUB
from shoal.errors import InvalidInput, Unavailable
from shoal.identity.private_files import make_private_directory, write_atomically

HUB_KEY = "https://index.docker.io/v1/"
"""What Docker Hub is called in the file."""

HELPER_SECONDS = 60.0
"""A helper may ask its user."""

_MAX_FILE_BYTES = 4 << 20
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOKEN_USER = "<token>"  # noqa: S105  # what Docker's protocol calls an identity token's user
_NOT_FOUND = ("credentials not found", "no credentials")

_PROXIES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "ftpProxy": "FTP_PROXY",
    "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}


@dataclass(frozen=True)
class Login:
    """A user name and a password, or an identity token in place of both; `source` says where it is kept."""

    username: str
    password: str = field(repr=False)
    source: str = ""
    identity_token: str = field(default="", repr=False)


def config_path(environment: Mapping[str, str]) -> Path:
    """Where Docker's settings are: DOCKER_CONFIG, else ~/.docker."""
    directory = environment.get("DOCKER_CONFIG") or str(Path(environment.get("HOME") or "~").expanduser() / ".docker")
    return Path(directory) / "config.json"


def registry_key(domain: str) -> str:
    """What a registry is called in the file."""
    return HUB_KEY if domain == DOCKER_HUB else domain


def domain_of(server: str) -> str:
    """The registry that a server's address means: "https://index.docker.io/v1/" is Docker Hub."""
    host = server.strip().partition("://")[2] or server.strip()
    host = host.partition("/")[0]
    return DOCKER_HUB if host in ("", "index.docker.io", "registry-1.docker.io", DOCKER_HUB) else host


class DockerConfig:
    """The file; missing, it is empty.

    Raises:
        InvalidInput: it cannot be read, or is no JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._document = _read(path)

    def proxies(self) -> dict[str, str]:
        """`proxies.default` as environment variables, in both spellings (docker/cli, "Proxy configuration")."""
        given = self._document.get("proxies")
        default = given.get("default") if isinstance(given, dict) else None
        found: dict[str, str] = {}
        for key, name in _PROXIES.items():
            value = default.get(key) if isinstance(default, dict) else None
            if isinstance(value, str) and value:
                found |= {name: value, name.lower(): value}
        return found

    def login(self, domain: str) -> Login | None:
        """The login of a registry; None where there is none.

        Raises:
            InvalidInput: its entry is broken.
            Unavailable: its helper fails.
        """
        helper = self._helper(domain)
        return _get(helper, domain) if helper else self._from_file(domain)

    def store(self, domain: str, login: Login) -> str:
        """Keep a login; returns a warning for the user, or an empty text.

        Raises:
            Unavailable: the helper fails. OSError: the file cannot be written.
        """
        helper = self._helper(domain)
        if helper:
            secret = {"ServerURL": registry_key(domain), "Username": login.username, "Secret": login.password}
            _run(helper, "store", json.dumps(secret))
            self._auths()[registry_key(domain)] = {}
            self._write()
            return ""
        pair = f"{login.username}:{login.password}".encode()
        self._auths()[registry_key(domain)] = {"auth": base64.b64encode(pair).decode()}
        self._write()
        return f"your credentials are stored unencrypted in {self.path}; configure a credential helper to encrypt them"

    def erase(self, domain: str) -> bool:
        """Forget a login; False where there is none. Raises as `store` does."""
        helper, auths = self._helper(domain), self._auths()
        known = [each for each in auths if domain_of(each) == domain]
        found = bool(known)
        if helper:
            found = _get(helper, domain) is not None or found
            _run(helper, "erase", registry_key(domain))
        for each in known:
            del auths[each]
        if known:
            self._write()
        return found

    def _helper(self, domain: str) -> str:
        helpers = _object(self._document.get("credHelpers"), f"{self.path}: credHelpers")
        named = next((each for key, each in helpers.items() if domain_of(key) == domain), None)
        name = named or self._document.get("credsStore") or ""
        if not name:
            return ""
        if not isinstance(name, str) or not _HELPER.fullmatch(name):
            raise InvalidInput(f"{self.path}: {str(name)[:80]!r} is not the name of a credential helper")
        return f"docker-credential-{name}"

    def _from_file(self, domain: str) -> Login | None:
        entries = [each for key, each in self._auths().items() if domain_of(key) == domain]
        entry = _object(next(iter(entries), None), f"{self.path}: auths")
        if entry.get("identitytoken"):
            return Login("", "", str(self.path), str(entry["identitytoken"]))
        if not entry.get("auth"):
            username, password = entry.get("username"), entry.get("password")
            return Login(str(username), str(password), str(self.path)) if username and password else None
        try:
            text = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidInput(f"{self.path}: the entry of {domain} is invalid; log in again") from error
        username, colon, password = text.partition(":")
        if not colon:
            raise InvalidInput(f"{self.path}: the entry of {domain} is invalid; log in again")
        return Login(username, password.strip("\0"), str(self.path))

    def _auths(self) -> dict[str, Any]:
        if self._document.get("auths") is None:
            self._document["auths"] = {}
        return _object(self._document["auths"], f"{self.path}: auths")

    def _write(self) -> None:
        """Whole or not at all; readable by its owner alone."""
        target = self.path.resolve()
        make_private_directory(target.parent)
        write_atomically(target, json.dumps(self._document, indent="\t").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        document = json.loads(content) if content.strip() else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from error
    return _object(document, str(path))


def _object(value: object, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be an object")
    return value


def _get(helper: str, domain: str) -> Login | None:
    code, output = _call(helper, "get", registry_key(domain))
    if code:
        if any(text in output for text in _NOT_FOUND):
            return None
        raise Unavailable(f"{helper} failed: {output[:200] or f'exit code {code}'}")
    try:
        found = json.loads(output)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unavailable(f"{helper} returned no credentials for {domain}") from error
    if username == _TOKEN_USER:
        return Login("", "", helper, secret)
    return Login(username, secret, helper) if username else None


def _run(helper: str, action: str, text: str) -> None:
    code, output = _call(helper, action, text)
    if code and not any(each in output for each in _NOT_FOUND):
        raise Unavailable(f"{helper} failed: {output[:200] or f'exit code {code}'}")


def _call(helper: str, action: str, text: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [helper, action], input=text, capture_output=True, text=True, check=False, timeout=HELPER_SECONDS
        )
    except FileNotFoundError as error:
        raise Unavailable(f"credential helper {helper} is not installed") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"credential helper {helper} failed: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"credential helper {helper} did not respond within {HELPER_SECONDS:.0f} s") from error
    shown = done.stdout if not done.returncode else f"{done.stdout} {done.stderr}"
    return done.returncode, shown.strip() if not done.returncode else " ".join(shown.split())
