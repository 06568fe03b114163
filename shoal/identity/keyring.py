"""The keys that open what is sealed in etcd: the cluster key, and while it is being rotated the one before it.

A rotation never stops anything. While there is an older key, every manager opens with both and seals with the older
one, which all of them have; the leader seals everything anew with the current key as soon as each manager tells that
it has that one. Then the older key can be deleted.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from shoal.identity import sealing
from shoal.identity.private_files import write_atomically

_ID_BYTES = 8
OLDER = ".old"
"""What the older key's file is called beyond the current one's."""


@dataclass(frozen=True)
class Keyring:
    """One or two keys of 32 bytes each, never shown."""

    current: bytes = field(repr=False)
    older: bytes | None = field(default=None, repr=False)

    def seal(self, plain: bytes, *, purpose: str) -> bytes:
        """Seal so that every manager can open it."""
        return sealing.seal(self.older or self.current, plain, purpose=purpose)

    def unseal(self, sealed: bytes, *, purpose: str) -> bytes:
        """Open with whichever key fits.

        Raises:
            InvalidInput: none does, or it was changed.
        """
        if self.older is not None:
            try:
                return sealing.unseal(self.older, sealed, purpose=purpose)
            except InvalidInput:
                pass  # sealed with the current key already
        return sealing.unseal(self.current, sealed, purpose=purpose)

    def resealed(self, sealed: bytes, *, purpose: str) -> bytes | None:
        """The same under the current key; None when it is so already.

        Raises:
            InvalidInput: no key opens it.
        """
        try:
            sealing.unseal(self.current, sealed, purpose=purpose)
        except InvalidInput:
            return sealing.seal(self.current, self.unseal(sealed, purpose=purpose), purpose=purpose)
        return None

    @property
    def key_id(self) -> str:
        """Names the current key without telling anything of it; the same on each manager that has it."""
        return hmac.digest(self.current, b"shoal cluster key", hashlib.sha256)[:_ID_BYTES].hex()


def load_keyring(path: Path, *, make: bool = False) -> Keyring:
    """Read the cluster key, and the one before it where its file is there.

    Args:
        make: make a key when there is none, as the first manager of a cluster does.
    Raises:
        NotFound, InvalidInput, Unavailable: as `sealing.load_key`.
    """
    current = sealing.load_or_make_key(path) if make else sealing.load_key(path)
    try:
        older = sealing.load_key(older_path(path))
    except NotFound:
        older = None
    return Keyring(current, older)


def older_path(path: Path) -> Path:
    """Where the key before this one is kept during a rotation."""
    return path.with_name(path.name + OLDER)


def rotate(path: Path) -> None:
    """Make another cluster key; the present one becomes the older one. Takes effect when the manager starts anew.

    Raises:
        Refused: a rotation is under way.
        NotFound, InvalidInput, Unavailable: as `sealing.load_key`, or it cannot be written.
    """
    current = sealing.load_key(path)
    older = older_path(path)
    try:
        if sealing.load_key(older) != current:  # equal: an earlier call was interrupted between its two files
            raise Refused(
                f"a rotation is under way: {older} is there; delete it on every manager when it is not needed"
            )
    except NotFound:
        _write(older, current)
    _write(path, secrets.token_bytes(sealing.KEY_BYTES))


def _write(path: Path, key: bytes) -> None:
    try:
        write_atomically(path, key)
    except OSError as error:
        raise Unavailable(f"cannot write the cluster key {path}: {error.strerror}") from error
