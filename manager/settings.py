"""The manager's settings: read once at start, validated, never changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import Fault, InvalidInput
from shoal.monitoring.settings import (
    MANAGER_PORT,
    MonitoringOptions,
    MonitoringSettings,
    monitoring_faults,
    monitoring_settings,
)
from shoal.rpc import host_port
from shoal.telemetry.log_formatters import FORMATS, LEVELS

API_PORT = 7440
JOIN_PORT = 7442
PEER_PORT = 7443
MAX_RESTART_GRACE_SECONDS = 3600


@dataclass(frozen=True)
class Settings(MonitoringOptions):
    """All settings of a manager, with those of health and metrics.

    Attributes:
        state_directory: absolute; identity, cluster key, admin's files and, by default, etcd's data. Mode 0700.
        api_address: host:port of the API and of the agents' sessions, mutual TLS; port 0 takes a free one.
        join_address: host:port where nodes join.
        advertise_address: host, without a port, by which users and agents reach this manager; empty: the host of
            `api_address`, or where that is every address, the one that the default route leaves from.
        peer_address: host:port where its own etcd listens for other managers' once there are any.
        join: host:port where a manager of a cluster lets hosts join; empty: create a cluster, or be the manager that
            this is already.
        token: for managers, with `join`. token_file: file to read it from instead.
        etcd_endpoints: host:port of an etcd cluster of your own; empty: this manager runs its own etcd.
        etcd_ca, etcd_certificate, etcd_key: PEM files for mutual TLS with that cluster; all or none.
        etcd_server_name: the host name in the certificate of each of its members; empty: the endpoint's own host.
        cluster_key_file: decrypts the authority's key; the same on every manager. None: `cluster.key` in the
            state directory.
        heartbeat_seconds: between the agents' heartbeats; a node is DOWN after three missed.
        restart_grace_seconds: how long a node keeps its tasks after its agent has stopped in order; 0: as any other.
        registries_file: settings of registries; need not exist.
        log_level: one of `shoal.telemetry.log_formatters.LEVELS`.
        log_format: "text" or "json".
    """

    state_directory: Path = Path("/var/lib/shoal/manager")
    api_address: str = f"[::]:{API_PORT}"
    join_address: str = f"[::]:{JOIN_PORT}"
    peer_address: str = f"[::]:{PEER_PORT}"
    advertise_address: str = ""
    join: str = ""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    etcd_endpoints: tuple[str, ...] = ()
    etcd_ca: Path | None = None
    etcd_certificate: Path | None = None
    etcd_key: Path | None = None
    etcd_server_name: str = ""
    cluster_key_file: Path | None = None
    heartbeat_seconds: float = 2.0
    restart_grace_seconds: float = 60.0
    registries_file: Path = Path("/etc/shoal/registries.toml")
    log_level: str = "info"
    log_format: str = "text"

    def __post_init__(self) -> None:
        """Raises InvalidInput with every field error."""
        faults = list(_faults(self))
        if faults:
            raise InvalidInput(faults)

    @property
    def monitoring(self) -> MonitoringSettings:
        """Where health and metrics are served."""
        return monitoring_settings(self, MANAGER_PORT)

    @property
    def key_file(self) -> Path:
        """The file with the cluster key."""
        return self.cluster_key_file or self.state_directory / "cluster.key"

    @property
    def admin_directory(self) -> Path:
        """The directory with the files for an admin's context."""
        return self.state_directory / "admin"

    @property
    def engine_directory(self) -> Path:
        """The directory with the files for an engine's context."""
        return self.state_directory / "engine"

    @property
    def console_directory(self) -> Path:
        """The directory with the files for a console's context."""
        return self.state_directory / "console"


def _faults(settings: Settings) -> Iterator[Fault]:
    if not settings.state_directory.is_absolute():
        yield Fault("state-directory", f'"{settings.state_directory}" must be an absolute path')
    for name, text in (
        ("api-address", settings.api_address),
        ("join-address", settings.join_address),
        ("peer-address", settings.peer_address),
    ):
        yield from _listening_faults(name, text)
    if settings.api_address == settings.join_address and not settings.api_address.endswith(":0"):
        yield Fault("join-address", "must differ from the API address")
    yield from _join_faults(settings)
    yield from _advertise_faults(settings.advertise_address)
    yield from _etcd_faults(settings)
    if not 0.1 <= settings.heartbeat_seconds <= 60:
        yield Fault("heartbeat-seconds", f"{settings.heartbeat_seconds:g} is out of range; must be between 0.1 and 60")
    if not 0 <= settings.restart_grace_seconds <= MAX_RESTART_GRACE_SECONDS:
        text = f"{settings.restart_grace_seconds:g} is out of range; must be between 0 and {MAX_RESTART_GRACE_SECONDS}"
        yield Fault("restart-grace-seconds", text)
    yield from monitoring_faults(settings.monitoring, has_identity=True)
    if settings.log_level not in LEVELS:
        yield Fault("log-level", f'"{settings.log_level}" is not supported; must be one of {", ".join(LEVELS)}')
    if settings.log_format not in FORMATS:
        yield Fault("log-format", f'"{settings.log_format}" is not supported; must be one of {", ".join(FORMATS)}')


def _listening_faults(name: str, text: str) -> Iterator[Fault]:
    try:
        host_port.check_listening(text)
    except InvalidInput as error:
        yield Fault(name, str(error))


def _join_faults(settings: Settings) -> Iterator[Fault]:
    if settings.join:
        try:
            host_port.parse(settings.join)
        except InvalidInput as error:
            yield Fault("join", str(error))
    if settings.token and settings.token_file:
        yield Fault("token", "use --token or --token-file, not both")
    given = bool(settings.token or settings.token_file)
    if settings.join and not given:
        yield Fault("token", "is required with join; create one with `shoal cluster join-token --manager`")
    if given and not settings.join:
        yield Fault("join", "is required with token")


def _advertise_faults(host: str) -> Iterator[Fault]:
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        return
    try:
        host_port.parse(f"[{host}]:1" if ":" in host else f"{host}:1")
    except InvalidInput:
        yield Fault("advertise-address", f'"{host}" must be a host name or IP address, without a port')


def _etcd_faults(settings: Settings) -> Iterator[Fault]:
    files = {
        "etcd-ca": settings.etcd_ca,
        "etcd-cert": settings.etcd_certificate,
        "etcd-key": settings.etcd_key,
    }
    given = [name for name, path in files.items() if path is not None]
    if given and not settings.etcd_endpoints:
        yield Fault(given[0], "requires --etcd-endpoint")
    missing = [name for name in files if name not in given]
    if settings.etcd_server_name and not given:
        yield Fault("etcd-server-name", "requires --etcd-ca, --etcd-cert and --etcd-key")
    if given and missing:
        yield Fault(missing[0], f"is required with {' and '.join(given)}")
    for name, path in files.items():
        if path is not None and not path.is_file():
            yield Fault(name, f"{path} is not a file")
    for endpoint in settings.etcd_endpoints:
        try:
            host_port.parse(endpoint)
        except InvalidInput as error:
            yield Fault("etcd-endpoint", str(error))
