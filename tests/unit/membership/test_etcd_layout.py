"""How etcd is started: alone, or as one of several members."""

from pathlib import Path

import pytest

from manager.etcd.layout import EtcdLayout, layout_flags, load_layout, remove_layout, save_layout
from manager.etcd.own_etcd import listen_address
from manager.etcd.releases import EtcdRelease
from shoal.errors import InvalidInput

LAYOUT = EtcdLayout("m2", "192.0.2.2:7443", "0.0.0.0:7443", ("m1=https://192.0.2.1:7443", "m2=https://192.0.2.2:7443"))


def test_alone_it_listens_on_no_port() -> None:
    flags = layout_flags(None, Path("/state/etcd"), EtcdRelease(3, 4, 23))
    assert not any("https" in each or "http:" in each for each in flags)


def test_among_others_the_two_flags_of_peers_go_together() -> None:
    flags = layout_flags(LAYOUT, Path("/state/etcd"), EtcdRelease(3, 4, 23))
    assert "--peer-cert-allowed-hostname=etcd.shoal" in flags
    assert "--experimental-peer-skip-client-san-verification" in flags
    assert "--peer-client-cert-auth" in flags
    assert "--initial-cluster-state=existing" in flags
    assert "--initial-cluster=m1=https://192.0.2.1:7443,m2=https://192.0.2.2:7443" in flags
    assert "--peer-key-file=/state/etcd/peer/key.pem" in flags


@pytest.mark.parametrize("release", [EtcdRelease(3, 6, 0), EtcdRelease(3, 7, 1)])
def test_from_3_6_on_no_flag_is_experimental(release: EtcdRelease) -> None:
    flags = layout_flags(LAYOUT, Path("/state/etcd"), release)
    assert {"--peer-cert-allowed-hostname=etcd.shoal", "--peer-skip-client-san-verification"} <= set(flags)
    assert not any("experimental" in each for each in flags)


def test_a_layout_survives_a_restart(tmp_path: Path) -> None:
    directory = tmp_path / "etcd"
    assert load_layout(directory) is None
    save_layout(directory, LAYOUT)
    assert load_layout(directory) == LAYOUT
    assert (directory / "layout.json").stat().st_mode & 0o077 == 0
    remove_layout(directory)
    assert load_layout(directory) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "m2"}', '{"initial_cluster": [], "other": 1}'])
def test_a_damaged_layout_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "layout.json").write_text(text)
    with pytest.raises(InvalidInput, match="is damaged"):
        load_layout(tmp_path)


@pytest.mark.parametrize(
    ("advertised", "listening", "expected"),
    [
        ("192.0.2.1:7443", "[::]:7443", "0.0.0.0:7443"),
        ("[2001:db8::1]:7443", "[::]:7443", "[::]:7443"),
        ("manager1:7443", "[::]:7443", "0.0.0.0:7443"),
        ("192.0.2.1:7443", "10.0.0.1:7443", "10.0.0.1:7443"),
    ],
)
def test_where_it_listens(advertised: str, listening: str, expected: str) -> None:
    assert listen_address(advertised, listening) == expected
