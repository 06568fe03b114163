"""The container's own lines of its /etc/hosts."""

from agent.runtime.live.hosts_file import with_addresses

HOSTS = b"127.0.0.1\tlocalhost\n::1\tlocalhost\n10.0.0.7\tweb\n10.0.9.9\tdb\n"


def test_own_addresses_are_replaced_where_they_were() -> None:
    found = with_addresses(HOSTS, "web", ["10.0.0.7", "10.0.1.7"])
    assert found == b"127.0.0.1\tlocalhost\n::1\tlocalhost\n10.0.0.7\tweb\n10.0.1.7\tweb\n10.0.9.9\tdb\n"
    assert with_addresses(found, "web", ["10.0.0.7", "10.0.1.7"]) == found
    assert with_addresses(found, "web", ["10.0.0.7"]) == HOSTS


def test_without_an_address_the_name_is_on_the_loopback() -> None:
    assert b"\n127.0.1.1\tweb\n" in with_addresses(HOSTS, "web", [])


def test_what_the_container_wrote_itself_stays() -> None:
    own = b"# 10.0.0.7\tweb\n10.0.0.7\tweb shop\n10.0.0.8 web"
    assert with_addresses(own, "web", ["10.0.1.7"]) == own + b"\n10.0.1.7\tweb"
    assert with_addresses(b"", "web", ["10.0.1.7"]) == b"10.0.1.7\tweb\n"
