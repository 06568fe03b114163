"""What is told when the kernel refuses our devices or rules."""

import pytest

from agent.network.kernel_features import link_refused, missing, rules_refused, tunnel_refused
from shoal.errors import Unavailable


def refusing(*words: str) -> list[str]:
    def run(command: str) -> None:
        if any(word in command for word in words):
            raise Unavailable("nftables refused: Error: Could not process rule: Operation not supported")

    return list(missing(run))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("add table", "nftables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)"),
        ("fib", "local addresses in rules (CONFIG_NFT_FIB_INET)"),
        ("dnat", "address translation (CONFIG_NFT_NAT)"),
        ("numgen", "random choice (CONFIG_NFT_NUMGEN)"),
    ],
)
def test_the_missing_feature_is_named(word: str, told: str) -> None:
    assert refusing(word) == [told]


def test_all_that_is_missing_is_named_at_once() -> None:
    def run(command: str) -> None:
        if "masquerade" in command or "dnat" in command:
            raise Unavailable("no")

    error = rules_refused(Unavailable("nftables refused: no"), run)
    assert "CONFIG_NFT_NAT" in str(error) and "CONFIG_NFT_MASQ" in str(error)


def test_a_refusal_for_another_reason_keeps_its_words() -> None:
    error = Unavailable("nftables refused: Error: No space left on device")
    assert rules_refused(error, lambda _: None) is error
    assert tunnel_refused(error) is error


def test_a_kernel_without_vxlan_is_told_so() -> None:
    told = tunnel_refused(Unavailable("the kernel refused to make the VXLAN device shoal-vx: Operation not supported"))
    assert "CONFIG_VXLAN" in str(told)


def test_a_kernel_without_veth_or_namespaces_is_told_so() -> None:
    told = link_refused(Unavailable("The kernel refused to make the link shp-1-0: Operation not supported"))
    assert "CONFIG_VETH" in str(told)
    told = link_refused(Unavailable("The kernel refused a network namespace: Invalid argument"))
    assert "CONFIG_NET_NS" in str(told)
    other = Unavailable("The kernel refused to make the link shp-1-0: Cannot allocate memory")
    assert link_refused(other) is other
