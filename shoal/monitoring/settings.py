"""Where a daemon serves health and metrics, and to whom."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from shoal.errors import Fault, InvalidInput
from shoal.rpc import host_port

OFF = "off"
MANAGER_PORT, AGENT_PORT, ENGINE_PORT, CONSOLE_PORT = 7450, 7451, 7452, 7453


def default_address(port: int) -> str:
    """Loopback, where nobody needs a token."""
    return f"127.0.0.1:{port}"


@dataclass(frozen=True)
class MonitoringSettings:
    """Settings of the address for health and metrics.

    Attributes:
        address: HOST:PORT, port 0 takes a free one; "off": none.
        token_file: file with the bearer token of whoever reads metrics; required beyond loopback.
        certificate, key: PEM files of the TLS server; beyond loopback there is TLS always.
        is_default: nobody has chosen the address, so that it is done without where it is in use.
    """

    address: str
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    is_default: bool = False

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches the address."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, kw_only=True)
class MonitoringOptions:
    """A base of a daemon's settings: its options about monitoring, as `options.monitoring_options` names them.

    Attributes:
        monitoring_address: HOST:PORT of health and metrics, or "off"; empty: the daemon's port on loopback.
        monitoring_token_file, monitoring_certificate, monitoring_key: see `MonitoringSettings`.
    """

    monitoring_address: str = ""
    monitoring_token_file: Path | None = None
    monitoring_certificate: Path | None = None
    monitoring_key: Path | None = None


def monitoring_settings(options: MonitoringOptions, port: int) -> MonitoringSettings:
    """Of a daemon's options; without an address it is this port of loopback."""
    return MonitoringSettings(
        address=options.monitoring_address or default_address(port),
        token_file=options.monitoring_token_file,
        certificate=options.monitoring_certificate,
        key=options.monitoring_key,
        is_default=not options.monitoring_address,
    )


def monitoring_faults(settings: MonitoringSettings, *, has_identity: bool) -> Iterator[Fault]:
    """Faults of the settings.

    Args:
        has_identity: the daemon has a certificate of the cluster for a server, so that none must be given.
    """
    if settings.address == OFF:
        return
    try:
        host_port.check_listening(settings.address)
    except InvalidInput as error:
        yield Fault("monitoring-address", str(error))
        return
    if (settings.certificate is None) != (settings.key is None):
        yield Fault("monitoring-key", "--monitoring-certificate and --monitoring-key belong together")
    if settings.is_loopback:
        return
    if settings.token_file is None:
        yield Fault("monitoring-token-file", f'is required, since "{settings.address}" is not a loopback address')
    if not has_identity and settings.certificate is None:
        yield Fault("monitoring-certificate", f'is required, since "{settings.address}" is not a loopback address')
