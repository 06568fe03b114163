"""Sockets of CSI drivers: configured by the operator, or found in the agent's directory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import Fault, InvalidInput

_SCHEME = "unix://"
MAX_PATH = 107
"""Bytes (unix(7))."""


@dataclass(frozen=True)
class DriverSocket:
    """One driver's socket.

    Attributes:
        name: name that the driver must have; empty: any.
    """

    path: Path
    name: str = ""


def parse_socket(text: str) -> DriverSocket:
    """Parse `NAME=unix:///path`, or `unix:///path`.

    Raises:
        InvalidInput: it is in another form.
    """
    name, _, where = text.rpartition("=") if not text.startswith(_SCHEME) else ("", "", text)
    path = Path(where.removeprefix(_SCHEME))
    if not where.startswith(_SCHEME) or not path.is_absolute():
        raise InvalidInput(f"{text!r} must be in the form NAME=unix:///run/driver/csi.sock")
    if len(bytes(path)) > MAX_PATH:
        raise InvalidInput(f"{text!r}: the socket path is too long; the maximum is {MAX_PATH} bytes")
    return DriverSocket(path, name)


def socket_faults(texts: Sequence[str]) -> Iterator[Fault]:
    """Errors of these options."""
    for text in texts:
        try:
            parse_socket(text)
        except InvalidInput as error:
            yield Fault("--csi", str(error))


def find_sockets(directory: Path, configured: Sequence[DriverSocket]) -> list[DriverSocket]:
    """Configured sockets, then `<directory>/*.sock` and `<directory>/*/*.sock`; each path once."""
    found_paths = sorted(
        path for pattern in ("*.sock", "*/*.sock") for path in directory.glob(pattern) if path.is_socket()
    )
    found = {each.path: each for each in configured}
    for path in found_paths:
        found.setdefault(path, DriverSocket(path))
    return list(found.values())
