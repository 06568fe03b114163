"""The console's settings: read once at start, validated, never changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import Fault, InvalidInput
from shoal.monitoring.settings import (
    CONSOLE_PORT,
    OFF,
    MonitoringOptions,
    MonitoringSettings,
    monitoring_faults,
    monitoring_settings,
)
from shoal.rpc import host_port
from shoal.telemetry.log_settings import LogOptions, log_faults

LOCAL_ADDRESS = "127.0.0.1:0"


@dataclass(frozen=True)
class ConsoleSettings(MonitoringOptions, LogOptions):
    """All settings of a console, with those of health, metrics and logs.

    Attributes:
        context: name of the context whose cluster is shown; empty: SHOAL_CONTEXT, the current one, or the only one.
        local: for the person at this machine: on loopback without TLS, with a one-time token in the address.
        listen: HOST:PORT to serve on; port 0: any free one.
        names: more names that browsers have for this console, a balancer's.
        tls_certificate, tls_key: PEM files of the server; both or none: then the cluster's authority issues one.
        session_key_file: file with the key of sessions, made if it is not there; None: sessions end with the process.
        open_browser: of a local console: open the address in the browser.
        address_file: of a local console: file for the address, readable by its owner alone; None: it is printed.
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

    def __post_init__(self) -> None:
        if faults := list(_faults(self)):
            raise InvalidInput(faults)

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
    try:
        host_port.check_listening(settings.listen)
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
    yield from log_faults(settings)
