"""The console's settings: read once at start, validated, never changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import Fault, InvalidInput
from shoal.monitoring.settings import CONSOLE_PORT, OFF, MonitoringSettings, monitoring_faults, monitoring_settings
from shoal.rpc import host_port
from shoal.telemetry.log_formatters import FORMATS, JSON, LEVELS, TEXT

LOCAL_ADDRESS = "127.0.0.1:0"


@dataclass(frozen=True)
class ConsoleSettings:
    """All settings of a console.

    Attributes:
        context: name of the context whose cluster is shown; empty: SHOAL_CONTEXT, the current one, or the only one.
        local: for the person at this machine: on loopback without TLS, with a one-time token in the address.
        listen: HOST:PORT to serve on; port 0: any free one.
        names: more names that browsers have for this console, a balancer's.
        tls_certificate, tls_key: PEM files of the server; both or none: then the cluster's authority issues one.
        session_key_file: file with the key of sessions, made if it is not there; None: sessions end with the process.
        open_browser: of a local console: open the address in the browser.
        address_file: of a local console: file for the address, readable by its owner alone; None: it is printed.
        monitoring_address: HOST:PORT of health and metrics, or "off"; empty: port 7453 on loopback.
        monitoring_token_file, monitoring_certificate, monitoring_key: see `shoal.monitoring.settings`.
        log_level: one of `shoal.telemetry.log_formatters.LEVELS`.
        log_format: one of `shoal.telemetry.log_formatters.FORMATS`. log_json: as "json", of earlier releases.
    Raises:
        InvalidInput: with every fault.
    """

    context: str = ""
    local: bool = False
    listen: str = "[::]:7444"
    names: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    session_key_file: Path | None = None
    open_browser: bool = False
    address_file: Path | None = None
    monitoring_address: str = ""
    monitoring_token_file: Path | None = None
    monitoring_certificate: Path | None = None
    monitoring_key: Path | None = None
    log_level: str = "info"
    log_format: str = TEXT
    log_json: bool = False

    def __post_init__(self) -> None:
        if faults := list(_faults(self)):
            raise InvalidInput(faults)

    @property
    def logs_json(self) -> bool:
        """Whether logs are JSON, one object a line."""
        return self.log_json or self.log_format == JSON

    @property
    def monitoring(self) -> MonitoringSettings:
        """Where health and metrics are served; of a local console nowhere, unless it is said."""
        if self.local and not self.monitoring_address:
            return MonitoringSettings(OFF)
        return monitoring_settings(self, CONSOLE_PORT)

    @property
    def host(self) -> str:
        """To listen on, an address without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """To listen on; 0: any."""
        return int(self.listen.rpartition(":")[2])


def _faults(settings: ConsoleSettings) -> Iterator[Fault]:
    host, _, port = settings.listen.rpartition(":")
    try:
        host_port.parse(f"{host}:1" if port == "0" else settings.listen)
    except InvalidInput as error:
        yield Fault("listen", str(error))
    else:
        if settings.local and settings.host not in ("127.0.0.1", "::1"):
            yield Fault("listen", f'"{settings.listen}" must be an address of loopback for a local console')
    given = {"tls-certificate": settings.tls_certificate, "tls-key": settings.tls_key}
    for name, path in given.items():
        if path is None and any(given.values()):
            yield Fault(name, "is required; --tls-certificate and --tls-key belong together")
        elif path is not None and not path.is_file():
            yield Fault(name, f"{path} is not a file")
    yield from monitoring_faults(settings.monitoring, has_identity=False)
    if settings.log_level not in LEVELS:
        yield Fault("log-level", f'"{settings.log_level}" must be one of {", ".join(LEVELS)}')
    if settings.log_format not in FORMATS:
        yield Fault("log-format", f'"{settings.log_format}" must be one of {", ".join(FORMATS)}')
