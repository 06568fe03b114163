"""Names that servers for clients outside the cluster may have."""

import pytest
from cryptography import x509

from shoal.errors import InvalidInput
from shoal.identity.served_names import MAX_NAMES, served_names


def test_host_names_and_addresses_are_each_once() -> None:
    found = served_names(["Docker.Example.com.", "docker.example.com", "10.0.0.5", "fd00::5", "host_1", "localhost"])
    assert [str(each.value) for each in found] == ["docker.example.com", "10.0.0.5", "fd00::5", "host_1", "localhost"]
    assert [type(each) for each in found[:2]] == [x509.DNSName, x509.IPAddress]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*.example.com",
        "a b",
        "a..b",
        "-a",
        "a-",
        "é.com",
        "a/b",
        "x" * 64,
        ".".join(["x" * 60] * 5),
        "10.0.0.5:1",
        "a\0b",
    ],
)
def test_others_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="neither a host name nor an IP address"):
        served_names([name])


@pytest.mark.parametrize("name", ["manager.shoal", "AGENT.shoal.", "n1.agent.shoal", "shoal"])
def test_names_of_the_clusters_own_servers_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="own servers"):
        served_names(["localhost", name])


def test_there_are_some_and_not_too_many() -> None:
    for names in ([], ["a"] * (MAX_NAMES + 1)):
        with pytest.raises(InvalidInput, match="must be 1 to 100 names"):
            served_names(names)
