"""Registry settings from `registries.toml`: endpoints, trusted CAs, credentials.

[registry."registry:5000"]
endpoint = "http://10.0.0.1:5000"      # or a list of mirrors, tried in this order
ca_file = "/etc/shoal/registry-ca.pem"
username = "deploy"
password_file = "/etc/shoal/registry-password"
allowed_hosts = ["storage.internal:9000"]   # where it may lead although they are less public than itself
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from shoal.errors import Fault, InvalidInput

DOCKER_HUB = "docker.io"
DOCKER_HUB_ENDPOINT = "https://registry-1.docker.io"
_KEYS = frozenset({"endpoint", "ca_file", "plain_http", "username", "password_file", "allowed_hosts"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z][0-9a-z._-]*)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class RegistrySettings:
    """How one registry is reached.

    Attributes:
        domain: as it stands in references: `registry:5000`.
        endpoints: base URLs without a path, tried in this order; at least one.
        ca_file: PEM file with the authorities to trust in place of the system's.
        username: empty for anonymous.
        password_file: holds the password and nothing else; readable by its owner only.
        password: in place of a file, where it comes from elsewhere than the settings.
        identity_token: in place of a password: what token servers give new tokens for (Docker's `<token>`).
        allowed_hosts: `host` or `host:port` to which it may lead for layers, uploads and tokens wherever they are; to
            others only where their addresses are as public as its own.
    """

    domain: str
    endpoints: tuple[str, ...]
    ca_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    allowed_hosts: frozenset[str] = frozenset()
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Registries:
    """All registries that have settings of their own; any other is reached by its domain over HTTPS."""

    by_domain: Mapping[str, RegistrySettings] = field(default_factory=dict)

    def find(self, domain: str) -> RegistrySettings:
        """The registry of a reference's domain. Plain HTTP without being told so is for loopback addresses only."""
        return self.by_domain.get(domain) or RegistrySettings(domain, (_default_endpoint(domain),))

    def with_login(self, domain: str, username: str, password: str, *, identity_token: str = "") -> "Registries":
        """The same with credentials for one registry; its other settings stay."""
        changed = replace(
            self.find(domain), username=username, password=password, password_file=None, identity_token=identity_token
        )
        return Registries({**self.by_domain, domain: changed})


def read_registries(path: Path) -> Registries:
    """The settings in a file; none when there is no such file.

    Raises:
        InvalidInput: all faults of the file at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Registries()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from error
    return parse_registries(text, source=str(path))


def parse_registries(text: str, *, source: str = "registries.toml") -> Registries:
    """The settings in TOML text. Pure: files that it names are not looked at.

    Raises:
        InvalidInput: all faults at once.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput([Fault(source, f"invalid TOML: {error}")]) from error
    faults = [
        Fault(f"{source}: {key}", 'unknown key; only [registry."…"] is allowed')
        for key in document.keys() - {"registry"}
    ]
    tables = document.get("registry", {})
    found: dict[str, RegistrySettings] = {}
    if not isinstance(tables, dict):
        faults.append(Fault(f"{source}: registry", 'must be tables: [registry."host:port"]'))
        tables = {}
    for domain, table in tables.items():
        reader = _TableReader(f'{source}: registry."{domain}"', table if isinstance(table, dict) else {}, faults)
        if not isinstance(table, dict):
            faults.append(Fault(reader.where, "must be a table"))
        found[domain] = _registry(domain, reader)
    if faults:
        raise InvalidInput(sorted(faults, key=str))
    return Registries(found)


class _TableReader:
    """Takes typed values out of one table and notes what is wrong."""

    def __init__(self, where: str, table: Mapping[str, object], faults: list[Fault]) -> None:
        self.where = where
        self._table = table
        self._faults = faults
        for key in sorted(table.keys() - _KEYS):
            self.fault(key, f"unknown key; allowed keys are {', '.join(sorted(_KEYS))}")

    def fault(self, key: str, message: str) -> None:
        self._faults.append(Fault(f"{self.where}.{key}", message))

    def text(self, key: str) -> str:
        value = self._table.get(key, "")
        if isinstance(value, str):
            return value
        self.fault(key, "must be a string")
        return ""

    def flag(self, key: str) -> bool:
        value = self._table.get(key, False)
        if isinstance(value, bool):
            return value
        self.fault(key, "must be true or false")
        return False

    def texts(self, key: str, kind: str) -> tuple[str, ...]:
        value = self._table.get(key, [])
        values = [value] if isinstance(value, str) else value
        if isinstance(values, list) and all(isinstance(each, str) for each in values):
            return tuple(values)
        self.fault(key, f"must be a {kind} or a list of them")
        return ()

    def path(self, key: str) -> Path | None:
        value = self.text(key)
        if value and not value.startswith("/"):
            self.fault(key, "must be an absolute path")
        return Path(value) if value else None


def _registry(domain: str, reader: _TableReader) -> RegistrySettings:
    plain = reader.flag("plain_http")
    endpoints = tuple(endpoint.rstrip("/") for endpoint in reader.texts("endpoint", "URL"))
    for endpoint in endpoints:
        message = _endpoint_fault(endpoint)
        if message:
            reader.fault("endpoint", message)
    ca_file, username, password_file = reader.path("ca_file"), reader.text("username"), reader.path("password_file")
    if bool(username) != bool(password_file):
        reader.fault("username", "username and password_file must be set together")
    if plain and ca_file:
        reader.fault("plain_http", "cannot be combined with ca_file")
    if plain and any(endpoint.startswith("https:") for endpoint in endpoints):
        reader.fault("plain_http", "cannot be combined with an https:// endpoint")
    if not endpoints:
        scheme = "http" if plain else "https" if ca_file else ""
        endpoints = (f"{scheme}://{domain}" if scheme and domain != DOCKER_HUB else _default_endpoint(domain),)
    allowed = frozenset(host.lower() for host in reader.texts("allowed_hosts", "host"))
    if faulty := sorted(host for host in allowed if not _HOST.fullmatch(host)):
        reader.fault("allowed_hosts", f"{faulty[0]!r} must be host or host:port")
    return RegistrySettings(domain, endpoints, ca_file, username, password_file, allowed)


def _endpoint_fault(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError as error:
        return f"{endpoint!r} is not a valid URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"{endpoint!r} must be http://host[:port] or https://host[:port]"
    if parts.path or parts.query or parts.fragment or parts.username:
        return f"{endpoint!r} must have no path, query or user"
    return ""


def _default_endpoint(domain: str) -> str:
    if domain == DOCKER_HUB:
        return DOCKER_HUB_ENDPOINT
    return f"{'http' if _is_loopback(domain) else 'https'}://{domain}"


def _is_loopback(domain: str) -> bool:
    host = urlsplit(f"//{domain}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
