"""How contents are stored: a config's as is, a secret's encrypted with its own key, which the cluster key encrypts.

The version of a content is a digest of it, so that the same content is the same version. A secret's digest is keyed
with its data key, so that reading etcd does not allow guessing.
"""

import hashlib
import hmac
import secrets
from typing import Protocol

from shoal.api.v1.file_pb2 import File, FileVersion
from shoal.identity import encryption
from shoal.identity.keyring import Keyring

_VERSION_BYTES = 16


class ContentCodec(Protocol):
    """Encodes and decodes the contents of one kind of file."""

    def new_data_key(self, file_id: str) -> bytes:
        """For `File.encrypted_data_key` of a new file; empty where there is none."""
        ...

    def version_of(self, file: File, content: bytes) -> str:
        """The version of this content."""
        ...

    def encode(self, file: File, version: str, content: bytes) -> bytes:
        """The content as it is stored."""
        ...

    def decode(self, file: File, version: FileVersion) -> bytes:
        """The content.

        Raises:
            InvalidInput: this manager's keys do not decrypt it.
        """
        ...


class PlainCodec:
    """Contents of configs, stored as they are."""

    def new_data_key(self, file_id: str) -> bytes:
        return b""

    def version_of(self, file: File, content: bytes) -> str:
        return hashlib.sha256(content).digest()[:_VERSION_BYTES].hex()

    def encode(self, file: File, version: str, content: bytes) -> bytes:
        return content

    def decode(self, file: File, version: FileVersion) -> bytes:
        return version.content


class EncryptedCodec:
    """Contents of secrets. Each is bound to its secret and version: one cannot be substituted for another."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def new_data_key(self, file_id: str) -> bytes:
        return self._keyring.encrypt(secrets.token_bytes(encryption.KEY_BYTES), purpose=_key_purpose(file_id))

    def version_of(self, file: File, content: bytes) -> str:
        key = hmac.digest(self._data_key(file), b"version", hashlib.sha256)
        return hmac.digest(key, content, hashlib.sha256)[:_VERSION_BYTES].hex()

    def encode(self, file: File, version: str, content: bytes) -> bytes:
        return encryption.encrypt(self._data_key(file), content, purpose=_purpose(file.meta.id, version))

    def decode(self, file: File, version: FileVersion) -> bytes:
        return encryption.decrypt(
            self._data_key(file), version.content, purpose=_purpose(version.file_id, version.version)
        )

    def reencrypted(self, file: File) -> File | None:
        """A copy whose data key is encrypted with the current cluster key; None if it already is.

        Raises:
            InvalidInput: no key of this manager decrypts it.
        """
        data_key = self._keyring.reencrypted(file.encrypted_data_key, purpose=_key_purpose(file.meta.id))
        if data_key is None:
            return None
        copy = File()
        copy.CopyFrom(file)
        copy.encrypted_data_key = data_key
        return copy

    def _data_key(self, file: File) -> bytes:
        return self._keyring.decrypt(file.encrypted_data_key, purpose=_key_purpose(file.meta.id))


def _key_purpose(file_id: str) -> str:
    return f"data key of secret {file_id}"


def _purpose(file_id: str, version: str) -> str:
    return f"secret {file_id} version {version}"
