"""The names of an engine's host."""

from pathlib import Path

from shoal.manager_calls.issued_certificate import host_names, local_addresses

FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.0.0.5
        /32 host LOCAL
     |-- 10.0.0.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 169.254.1.1
        /32 host LOCAL
Local:
     |-- 10.0.0.5
        /32 host LOCAL
"""
IF_INET6 = """fd000000000000000000000000000005 02 40 00 80     eth0
fe80000000000000000000000000abcd 02 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def test_addresses_of_interfaces_but_loopback_and_link_local(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(FIB_TRIE)
    (tmp_path / "if_inet6").write_text(IF_INET6)
    assert local_addresses(tmp_path) == ["10.0.0.5", "fd00::5"]
    assert local_addresses(tmp_path / "nothing") == []


def test_names_that_are_given_come_first_and_the_clusters_own_are_left_out() -> None:
    names = host_names("10.0.0.5", ["docker.example.com", "manager.shoal"])
    assert names[0] == "docker.example.com"
    assert {"localhost", "127.0.0.1", "::1", "10.0.0.5"} < set(names)
    assert "manager.shoal" not in names
    assert len(names) == len(set(names))
