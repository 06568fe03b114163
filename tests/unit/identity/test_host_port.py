"""Addresses as users write them."""

import pytest

from shoal.errors import InvalidInput, Unavailable
from shoal.rpc.host_port import HostPort, check_listening, parse, target


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("h1:80", "h1", 80), ("192.0.2.1:65535", "192.0.2.1", 65535), ("[2001:db8::1]:1", "2001:db8::1", 1)],
)
def test_an_address_is_read_and_printed(text: str, host: str, port: int) -> None:
    assert parse(text) == HostPort(host, port)
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "h1", "h1:", ":80", "h1:0", "h1:65536", "h1:٣", "h1:-1", "2001:db8::1:80", "[h1]:80", "http://h1:80", "a b:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        parse(text)


@pytest.mark.parametrize("text", ["h1:80", "h1:0", "[::]:0"])
def test_port_0_is_one_to_listen_on(text: str) -> None:
    check_listening(text)


@pytest.mark.parametrize("text", ["", "h1", ":0", "h1:00", "h1:65536", "2001:db8::1:0"])
def test_what_is_no_address_to_listen_on_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        check_listening(text)


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["h1:80"], "dns:///h1:80"),
        (["192.0.2.1:1", "192.0.2.2:2"], "ipv4:192.0.2.1:1,192.0.2.2:2"),
        (["[2001:db8::1]:1"], "ipv6:[2001:db8::1]:1"),
        (["192.0.2.1:1", "[2001:db8::1]:1"], "ipv6:[::ffff:192.0.2.1]:1,[2001:db8::1]:1"),
        (["unix:/run/shoal.sock"], "unix:/run/shoal.sock"),
    ],
)
def test_targets_of_grpc(addresses: list[str], expected: str) -> None:
    assert target(addresses) == expected


def test_several_names_are_resolved_at_once() -> None:
    assert "127.0.0.1" in target(["localhost:1", "127.0.0.2:2"])
    with pytest.raises(Unavailable, match=r"none\.invalid"):
        target(["none.invalid:1", "neither.invalid:2"])


def test_no_address_is_refused() -> None:
    with pytest.raises(InvalidInput):
        target([])
