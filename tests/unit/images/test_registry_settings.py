"""`registries.toml`: defaults, and all faults at once."""

from pathlib import Path

import pytest

from shoal.distribution.credentials import read_password
from shoal.distribution.registries import Registries, RegistrySettings, parse_registries, read_registries
from shoal.errors import InvalidInput

WHOLE = """
[registry."registry:5000"]
endpoint = ["http://10.0.0.1:5000/", "https://mirror.example"]
username = "deploy"
password_file = "/etc/shoal/password"

[registry."own.example"]
ca_file = "/etc/shoal/ca.pem"
allowed_hosts = ["Storage.internal:9000", "10.0.0.5", "[fd00::1]:443"]

[registry."plain.example:80"]
plain_http = true
"""

BROKEN = """
other = 1
[registry."a"]
endpoint = ["ftp://x", "http://x/path", "http://x:port"]
username = 1
ca_file = "relative"
colour = "blue"
allowed_hosts = ["https://x/"]
[registry."b"]
plain_http = "yes"
username = "alone"
[registry."c"]
plain_http = true
endpoint = "https://x"
ca_file = "/ca"
"""


def test_settings_and_defaults() -> None:
    found = parse_registries(WHOLE)
    assert found.find("registry:5000") == RegistrySettings(
        "registry:5000",
        ("http://10.0.0.1:5000", "https://mirror.example"),
        username="deploy",
        password_file=Path("/etc/shoal/password"),
    )
    assert found.find("own.example").endpoints == ("https://own.example",)
    assert found.find("own.example").allowed_hosts == {"storage.internal:9000", "10.0.0.5", "[fd00::1]:443"}
    assert found.find("plain.example:80").endpoints == ("http://plain.example:80",)


@pytest.mark.parametrize(
    ("domain", "endpoint"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.2:1", "http://127.0.0.2:1"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("localhost.example", "https://localhost.example"),
    ],
)
def test_how_others_are_reached(domain: str, endpoint: str) -> None:
    assert Registries().find(domain).endpoints == (endpoint,)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as reported:
        parse_registries(BROKEN, source="r.toml")
    text = str(reported.value)
    for part in ("r.toml: other", "ftp://x", "http://x/path", "http://x:port", '"a".username: must be a string'):
        assert part in text
    for part in (
        "absolute path",
        "colour: unknown",
        "'https://x/' must be host or host:port",
        "true or false",
        "username and password_file must be set together",
        "plain_http: cannot be combined with ca_file",
        "plain_http: cannot be combined with an https:// endpoint",
    ):
        assert part in text


def test_no_file_and_a_broken_one(tmp_path: Path) -> None:
    assert read_registries(tmp_path / "none.toml") == Registries()
    with pytest.raises(InvalidInput, match="invalid TOML"):
        parse_registries("[registry")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match=r"cannot read .*latin"):
        read_registries(tmp_path / "latin")


def test_password_files(tmp_path: Path) -> None:
    path = tmp_path / "password"
    with pytest.raises(InvalidInput, match="cannot read password file"):
        read_password(path)
    path.write_text("\n")
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="empty"):
        read_password(path)
    path.write_text(" with spaces \n")
    assert read_password(path) == " with spaces "
