"""Files of private keys in place of an SSH agent: lists of keys and signatures.

The protocol is that of SSH agents (draft-ietf-sshm-ssh-agent); RFC 4251, RFC 4253 and RFC 5656 have the formats.
Imports cryptography: import this module at first use.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.ssh_messages import FAILURE, with_length

MAX_KEY_BYTES = 64 << 10
_REQUEST_IDENTITIES, _IDENTITIES, _SIGN, _SIGNATURE = 11, 12, 13, 14
_RSA_SHA2_256, _RSA_SHA2_512 = 2, 4
_Key = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class FileKey:
    """Attributes: name: of the file. blob: the public key as SSH has it."""

    name: str
    key: _Key
    blob: bytes


def load_keys(paths: Iterable[str]) -> list[FileKey]:
    """Keys of files, in OpenSSH's or PEM format.

    Raises:
        InvalidInput: one cannot be read, has a passphrase, or is of another kind.
    """
    return [_load(path) for path in paths]


def _load(path: str) -> FileKey:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in content else load_pem_private_key
    try:
        key = load(content, None)
    except TypeError:
        raise InvalidInput(f"{path} has a passphrase; add the key to an agent with ssh-add") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(f"{path} is neither a socket of an SSH agent nor a private key") from None
    if not isinstance(key, _Key):
        raise InvalidInput(f"{path}: only RSA, ECDSA and Ed25519 keys are supported")
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return FileKey(Path(path).name, key, base64.b64decode(line.split()[1]))


def answer_by_keys(keys: Iterable[FileKey], message: bytes) -> bytes:
    """The reply of an agent with these keys to a request without its length: a failure to what it does not know."""
    try:
        return _answer(list(keys), message)
    except (ValueError, IndexError):
        return FAILURE


def _answer(keys: list[FileKey], message: bytes) -> bytes:
    if message[0] == _REQUEST_IDENTITIES:
        listed = b"".join(with_length(each.blob) + with_length(each.name.encode()) for each in keys)
        return bytes([_IDENTITIES]) + len(keys).to_bytes(4, "big") + listed
    if message[0] != _SIGN:
        raise ValueError
    blob, data, flags = _fields(message[1:])
    found = next((each for each in keys if each.blob == blob), None)
    if found is None:
        raise ValueError
    algorithm, signature = _sign(found.key, data, int.from_bytes(flags, "big"))
    return bytes([_SIGNATURE]) + with_length(with_length(algorithm.encode()) + with_length(signature))


def _sign(key: _Key, data: bytes, flags: int) -> tuple[str, bytes]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ssh-ed25519", key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        name, digest = _rsa_algorithm(flags)
        return name, key.sign(data, padding.PKCS1v15(), digest)
    size = key.curve.key_size
    hashes: dict[int, HashAlgorithm] = {256: SHA256(), 384: SHA384(), 521: SHA512()}
    if size not in hashes:
        raise ValueError
    both = decode_dss_signature(key.sign(data, ec.ECDSA(hashes[size])))
    return f"ecdsa-sha2-nistp{size}", b"".join(map(_number, both))


def _rsa_algorithm(flags: int) -> tuple[str, HashAlgorithm]:
    if flags & _RSA_SHA2_512:
        return "rsa-sha2-512", SHA512()
    return ("rsa-sha2-256", SHA256()) if flags & _RSA_SHA2_256 else ("ssh-rsa", SHA1())  # noqa: S303  # what was asked


def _fields(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Key, data and flags of a request for a signature."""
    blob, rest = _take(content)
    data, flags = _take(rest)
    if len(flags) != 4:
        raise ValueError
    return blob, data, flags


def _take(content: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(content[:4], "big")
    if len(content) < 4 + size:
        raise ValueError
    return content[4 : 4 + size], content[4 + size :]


def _number(value: int) -> bytes:
    """An mpint: positive ones begin with a zero bit."""
    return with_length(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def paths_of(text: str) -> Iterator[str]:
    """Files in "KEY,KEY"."""
    return (each for each in text.split(",") if each)
