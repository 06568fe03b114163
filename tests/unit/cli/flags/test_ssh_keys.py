"""Files of private keys answer as an SSH agent would."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from cli.builds.ssh_agents import answer
from cli.flags.ssh_keys import FileKey, answer_by_keys, load_keys
from cli.flags.ssh_option import parse_ssh
from shoal.api.v1.builds_pb2 import SshRequest
from shoal.errors import InvalidInput

LIST, FAILURE = bytes([11]), bytes([5])
DATA = b"what is signed"
ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


def string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def strings(content: bytes) -> list[bytes]:
    found = []
    while content:
        size = int.from_bytes(content[:4], "big")
        found.append(content[4 : 4 + size])
        content = content[4 + size :]
    return found


def saved(path: Path, key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> FileKey:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return load_keys([str(path)])[0]


def signature_of(key: FileKey, flags: int = 0) -> tuple[str, bytes]:
    request = bytes([13]) + string(key.blob) + string(DATA) + flags.to_bytes(4, "big")
    reply = answer_by_keys([key], request)
    assert reply[0] == 14
    (both,) = strings(reply[1:])
    algorithm, signature = strings(both)
    return algorithm.decode(), signature


def test_keys_are_listed(tmp_path: Path) -> None:
    keys = [saved(tmp_path / "id_a", ED25519), saved(tmp_path / "id_b", RSA)]
    reply = answer_by_keys(keys, LIST)
    assert (reply[0], reply[1:5]) == (12, bytes([0, 0, 0, 2]))
    assert strings(reply[5:]) == [keys[0].blob, b"id_a", keys[1].blob, b"id_b"]


def test_ed25519_signs(tmp_path: Path) -> None:
    algorithm, signature = signature_of(saved(tmp_path / "k", ED25519))
    assert algorithm == "ssh-ed25519"
    ED25519.public_key().verify(signature, DATA)


@pytest.mark.parametrize(
    ("flags", "name", "digest"),
    [(0, "ssh-rsa", SHA1()), (2, "rsa-sha2-256", SHA256()), (4, "rsa-sha2-512", SHA512())],
)
def test_rsa_signs_by_what_is_asked_for(tmp_path: Path, flags: int, name: str, digest: SHA1 | SHA256 | SHA512) -> None:
    algorithm, signature = signature_of(saved(tmp_path / "k", RSA), flags)
    assert algorithm == name
    RSA.public_key().verify(signature, DATA, padding.PKCS1v15(), digest)


@pytest.mark.parametrize(
    ("curve", "digest"), [(ec.SECP256R1(), SHA256()), (ec.SECP384R1(), SHA384()), (ec.SECP521R1(), SHA512())]
)
def test_ecdsa_signs(tmp_path: Path, curve: ec.EllipticCurve, digest: SHA256 | SHA384 | SHA512) -> None:
    key = ec.generate_private_key(curve)
    algorithm, signature = signature_of(saved(tmp_path / "k", key))
    assert algorithm == f"ecdsa-sha2-nistp{curve.key_size}"
    r, s = (int.from_bytes(each, "big", signed=True) for each in strings(signature))
    key.public_key().verify(encode_dss_signature(r, s), DATA, ec.ECDSA(digest))


@given(st.binary(max_size=80))
def test_anything_else_fails(message: bytes) -> None:
    assert answer_by_keys([], message)[0] in (5, 12)


def test_keys_of_others_are_not_signed_by(tmp_path: Path) -> None:
    other = saved(tmp_path / "k", ED25519)
    request = bytes([13]) + string(other.blob) + string(DATA) + bytes(4)
    assert answer_by_keys([], request) == FAILURE


def test_what_is_no_key_is_refused_by_name(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    (tmp_path / "text").write_text("text")
    for path, text in (
        (secret, "has a passphrase"),
        (tmp_path / "text", "neither a socket of an SSH agent nor a private key"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(InvalidInput, match=text):
            parse_ssh(f"default={path}", {})


def test_requests_of_a_build_are_answered_by_keys(tmp_path: Path) -> None:
    key = saved(tmp_path / "id", RSA)
    name, paths = parse_ssh(f"deploy={tmp_path / 'id'}", {})
    assert name == "deploy"
    reply = answer({name: paths}, SshRequest(number=7, id=name, message=LIST))
    assert (reply.number, key.blob in reply.message) == (7, True)
    assert not answer({name: paths}, SshRequest(number=8, id=name, message=bytes([17]))).message, "no key is added"
