"""The engine's settings: read once at start, validated, never changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import Fault, InvalidInput
from shoal.monitoring.settings import (
    ENGINE_PORT,
    MonitoringOptions,
    MonitoringSettings,
    monitoring_faults,
    monitoring_settings,
)
from shoal.rpc import host_port
from shoal.telemetry.log_settings import LogOptions, log_faults

SOCKET = Path("/run/shoal/engine.sock")
FORBIDDABLE = ("privileged", "bind", "host-network", "host-pid")
"""Features; `engine.translate.containers.forbidden_features` recognizes them."""


@dataclass(frozen=True)
class EngineSettings(MonitoringOptions, LogOptions):
    """All settings of an engine, with those of health, metrics and logs.

    Attributes:
        context: name of the context whose cluster is served; empty: SHOAL_CONTEXT, the current one, or the only one.
        socket: path of the Unix socket to listen on; None: none. Not used where systemd passes sockets.
        socket_group: group that may open the socket besides its owner; empty: that of the process.
        listen: HOST:PORT to serve on with mutual TLS; empty: none.
        tls_certificate, tls_key: PEM files of the server; both or none: then the cluster's authority issues one.
        tls_names: more names that clients have for this engine, for the certificate that the authority issues.
        tls_ca: PEM file of the authority of clients' certificates; None: the context's, that of the cluster.
        home_node: hostname or id of the node whose files are meant by paths and by the engine's own socket; empty: the
            node with an address of this host; "none": there is none.
        forbid: what callers may not ask for unless they are administrators: some of `FORBIDDABLE`.
        registries_file: settings of registries (TOML); None: the context's, if it names one.
    Raises:
        InvalidInput: with every fault.
    """

    context: str = ""
    socket: Path | None = SOCKET
    socket_group: str = ""
    listen: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_names: tuple[str, ...] = ()
    tls_ca: Path | None = None
    home_node: str = ""
    forbid: tuple[str, ...] = ()
    registries_file: Path | None = None

    def __post_init__(self) -> None:
        if faults := list(_faults(self)):
            raise InvalidInput(faults)

    @property
    def monitoring(self) -> MonitoringSettings:
        """Where health and metrics are served."""
        return monitoring_settings(self, ENGINE_PORT)


def _faults(settings: EngineSettings) -> Iterator[Fault]:
    if settings.socket is not None and not settings.socket.is_absolute():
        yield Fault("socket", f'"{settings.socket}" must be an absolute path')
    if settings.listen:
        yield from _listen_faults(settings.listen)
    given = {"tls-certificate": settings.tls_certificate, "tls-key": settings.tls_key}
    for name, path in given.items():
        if path is None and any(given.values()):
            yield Fault(name, "is required; --tls-certificate and --tls-key belong together")
    for name, path in {**given, "tls-ca": settings.tls_ca}.items():
        if path is not None and not path.is_file():
            yield Fault(name, f"{path} is not a file")
    for word in settings.forbid:
        if word not in FORBIDDABLE:
            yield Fault("forbid", f'"{word}" must be one of {", ".join(FORBIDDABLE)}')
    yield from monitoring_faults(settings.monitoring, has_identity=False)
    yield from log_faults(settings)


def _listen_faults(text: str) -> Iterator[Fault]:
    try:
        host_port.check_listening(text)
    except InvalidInput as error:
        yield Fault("listen", str(error))
