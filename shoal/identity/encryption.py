"""Encryption at rest of secrets in etcd: AES-256-GCM with the cluster key.

The encrypted form is 12 bytes of nonce, then ciphertext and tag (NIST SP 800-38D). The purpose is authenticated too, so
that one encrypted value cannot be put in the place of another.
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.identity.private_files import make_private_directory, write_atomically

KEY_BYTES = 32
_NONCE_BYTES = 12


def encrypt(key: bytes, plain: bytes, *, purpose: str) -> bytes:
    """Encrypt. A nonce is random: safe for 2**32 values under one key, and a cluster encrypts a few in its life."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, purpose.encode())


def decrypt(key: bytes, encrypted: bytes, *, purpose: str) -> bytes:
    """Decrypt.

    Raises:
        InvalidInput: it was encrypted with another key or for another purpose, or it was changed.
    """
    try:
        return AESGCM(key).decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        raise InvalidInput(
            f"cannot decrypt the {purpose}: this manager has the key of another cluster; "
            "copy the key file from a manager of this cluster"
        ) from None


def load_key(path: Path) -> bytes:
    """Read the cluster key.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it does not hold 32 bytes, or others than its owner can read it.
        Unavailable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            mode, key = os.fstat(file.fileno()).st_mode, file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"cluster key not found: {path}") from None
    except OSError as error:
        raise Unavailable(f"cannot read the cluster key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise InvalidInput(f"the cluster key is readable by others; run `chmod 600 {path}`")
    if len(key) != KEY_BYTES:
        raise InvalidInput(f"the cluster key {path} must contain {KEY_BYTES} bytes")
    return key


def load_or_create_key(path: Path) -> bytes:
    """Read the cluster key, or make one when there is none, as the first manager of a cluster does.

    Raises:
        InvalidInput, Unavailable: as `load_key`, or it cannot be written.
    """
    try:
        return load_key(path)
    except NotFound:
        key = secrets.token_bytes(KEY_BYTES)
    try:
        make_private_directory(path.parent)
        write_atomically(path, key)
    except OSError as error:
        raise Unavailable(f"cannot write the cluster key {path}: {error.strerror}") from error
    return key
