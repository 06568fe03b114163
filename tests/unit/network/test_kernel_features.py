"""What is told when the kernel refuses our devices or rules."""

import pytest

from agent.network.host.kernel_features import (
    explain_link_error,
    explain_rules_error,
    explain_vxlan_error,
    missing_features,
)
from shoal.errors import Unavailable


def refusing(*words: str) -> list[str]:
    def run(command: str) -> None:
        if any(word in command for word in words):
            raise Unavailable("nftables refused: Error: Could not process rule: Operation not supported")

    return list(missing_features(run))


@pytest.mark.parametrize(
    ("word", "reported"),
    [
        ("add table", "nftables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)"),
        ("fib", "fib lookups (CONFIG_NFT_FIB_INET)"),
        ("dnat", "NAT (CONFIG_NFT_NAT)"),
        ("numgen", "numgen (CONFIG_NFT_NUMGEN)"),
    ],
)
def test_the_missing_feature_is_named(word: str, reported: str) -> None:
    assert refusing(word) == [reported]


def test_all_that_is_missing_is_named_at_once() -> None:
    def run(command: str) -> None:
        if "masquerade" in command or "dnat" in command:
            raise Unavailable("no")

    error = explain_rules_error(Unavailable("nftables refused: no"), run)
    assert "CONFIG_NFT_NAT" in str(error) and "CONFIG_NFT_MASQ" in str(error)


def test_a_refusal_for_another_reason_keeps_its_words() -> None:
    error = Unavailable("nftables refused: Error: No space left on device")
    assert explain_rules_error(error, lambda _: None) is error
    assert explain_vxlan_error(error) is error


def test_a_kernel_without_vxlan_is_told_so() -> None:
    reported = explain_vxlan_error(
        Unavailable("the kernel refused to create VXLAN device shoal-vx: Operation not supported")
    )
    assert "CONFIG_VXLAN" in str(reported)


def test_a_kernel_without_veth_or_namespaces_is_told_so() -> None:
    reported = explain_link_error(Unavailable("the kernel refused to create link shp-1-0: Operation not supported"))
    assert "CONFIG_VETH" in str(reported)
    reported = explain_link_error(Unavailable("cannot create a network namespace: Invalid argument"))
    assert "CONFIG_NET_NS" in str(reported)
    other = Unavailable("the kernel refused to create link shp-1-0: Cannot allocate memory")
    assert explain_link_error(other) is other
