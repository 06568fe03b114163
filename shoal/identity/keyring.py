"""The keys for data that is encrypted in etcd: the cluster key, and during a rotation the previous one.

A rotation never stops anything. While there is a previous key, every manager decrypts with both and encrypts with the
previous one, which all of them have; the leader encrypts everything anew with the current key as soon as each manager
reports that it has that one. Then the previous key can be deleted.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from shoal.fault_points.injection import fault
from shoal.identity import encryption
from shoal.identity.private_files import write_atomically

_ID_BYTES = 8
PREVIOUS_SUFFIX = ".old"
"""Suffix of the previous key's file."""


@dataclass(frozen=True)
class Keyring:
    """One or two keys of 32 bytes each, never shown."""

    current: bytes = field(repr=False)
    previous: bytes | None = field(default=None, repr=False)

    def encrypt(self, plain: bytes, *, purpose: str) -> bytes:
        """Encrypt so that every manager can decrypt it."""
        return encryption.encrypt(self.previous or self.current, plain, purpose=purpose)

    def decrypt(self, encrypted: bytes, *, purpose: str) -> bytes:
        """Decrypt with whichever key fits.

        Raises:
            InvalidInput: none does, or it was changed.
        """
        if self.previous is not None:
            try:
                return encryption.decrypt(self.previous, encrypted, purpose=purpose)
            except InvalidInput:
                pass  # encrypted with the current key already
        return encryption.decrypt(self.current, encrypted, purpose=purpose)

    def reencrypted(self, encrypted: bytes, *, purpose: str) -> bytes | None:
        """The same under the current key; None when it is so already.

        Raises:
            InvalidInput: no key fits.
        """
        try:
            encryption.decrypt(self.current, encrypted, purpose=purpose)
        except InvalidInput:
            return encryption.encrypt(self.current, self.decrypt(encrypted, purpose=purpose), purpose=purpose)
        return None

    @property
    def key_id(self) -> str:
        """Identifies the current key without revealing anything of it; the same on each manager that has it."""
        return key_id(self.current)

    def key_named(self, identifier: str) -> bytes | None:
        """The key of that id, of the one or two; None: it is another one."""
        keys = (each for each in (self.current, self.previous) if each is not None)
        return next((each for each in keys if key_id(each) == identifier), None)


def key_id(key: bytes) -> str:
    """Identifies a cluster key without revealing anything of it."""
    return hmac.digest(key, b"shoal cluster key", hashlib.sha256)[:_ID_BYTES].hex()


def load_keyring(path: Path, *, make: bool = False) -> Keyring:
    """Read the cluster key, and the one before it where its file is there.

    Args:
        make: make a key when there is none, as the first manager of a cluster does.
    Raises:
        NotFound, InvalidInput, Unavailable: as `encryption.load_key`.
    """
    current = encryption.load_or_create_key(path) if make else encryption.load_key(path)
    try:
        previous = encryption.load_key(previous_path(path))
    except NotFound:
        previous = None
    return Keyring(current, previous)


def previous_path(path: Path) -> Path:
    """Where the previous key is kept during a rotation."""
    return path.with_name(path.name + PREVIOUS_SUFFIX)


def rotate(path: Path) -> None:
    """Make another cluster key; the present one becomes the previous one. Takes effect when the manager starts anew.

    Raises:
        Refused: a rotation is under way.
        NotFound, InvalidInput, Unavailable: as `encryption.load_key`, or it cannot be written.
    """
    current = encryption.load_key(path)
    previous = previous_path(path)
    try:
        if encryption.load_key(previous) != current:  # equal: an earlier call was interrupted between its two files
            raise Refused(
                f"a key rotation is in progress: {previous} exists; delete it on every manager once it is complete"
            )
    except NotFound:
        _write(previous, current)
        fault("shared.cluster-key.previous-saved")
    _write(path, secrets.token_bytes(encryption.KEY_BYTES))


def _write(path: Path, key: bytes) -> None:
    try:
        write_atomically(path, key)
    except OSError as error:
        raise Unavailable(f"cannot write the cluster key {path}: {error.strerror}") from error
