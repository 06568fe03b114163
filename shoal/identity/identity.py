"""An identity on disk: a certificate, its key, and the CA certificate.

Imports nothing heavy: the command line loads an identity on every start. `shoal.identity.certificates` reads what is
inside a certificate.
"""

from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import NotFound, Unavailable
from shoal.fault_points.injection import fault
from shoal.identity.private_files import make_private_directory, write_atomically

CA_FILE = "ca.pem"
CERTIFICATE_FILE = "cert.pem"
KEY_FILE = "key.pem"


@dataclass(frozen=True)
class Identity:
    """The credentials of one party and the CA that it trusts. All PEM.

    Attributes:
        certificate: of this party, signed by the authority.
        key: PKCS #8, not encrypted. Never printed.
        ca: the authority's certificate.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    ca: bytes

    @classmethod
    def load(cls, directory: Path) -> "Identity":
        """Read the three files.

        Raises:
            NotFound: one is missing.
            Unavailable: one cannot be read.
        """
        return cls(
            certificate=_read(directory / CERTIFICATE_FILE),
            key=_read(directory / KEY_FILE),
            ca=_read(directory / CA_FILE),
        )

    def save(self, directory: Path) -> None:
        """Write the files that differ, for the owner alone, each whole or not at all.

        The key comes last, so that a directory with a key is complete. Renewal keeps the key (see
        `certificates.request`), so that a crash between two files leaves a pair that fits. Another key is deleted
        first.

        Raises:
            Unavailable: the directory cannot be written.
        """
        try:
            make_private_directory(directory)
            is_same_key = _has(directory / KEY_FILE, self.key)
            if not is_same_key:
                (directory / KEY_FILE).unlink(missing_ok=True)
            if not _has(directory / CA_FILE, self.ca):
                write_atomically(directory / CA_FILE, self.ca, mode=0o644)
            fault("shared.identity.ca-written")
            write_atomically(directory / CERTIFICATE_FILE, self.certificate, mode=0o644)
            fault("shared.identity.certificate-written")
            if not is_same_key:
                write_atomically(directory / KEY_FILE, self.key)
        except OSError as error:
            raise Unavailable(f"cannot write the identity to {directory}: {error.strerror}") from error


def is_complete(directory: Path) -> bool:
    """Whether an identity was saved here whole."""
    return (directory / KEY_FILE).is_file()


def _has(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"credentials not found: {path}; join a cluster or specify another directory") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
