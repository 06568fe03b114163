"""Packets that are lost: an nft table of our own, `chaos`, in a namespace of the cluster. Texts are pure.

The table is made for each fault by a name of its own, so that two faults in one namespace leave each other alone.
"""

import itertools
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from cli.playground.layout import REGISTRY_PORT

_NUMBERS = itertools.count(1)
_NOT_REGISTRY = f"tcp sport != {REGISTRY_PORT} tcp dport != {REGISTRY_PORT}"
"""The registry has the first manager's address."""

_HOOKS = {"in": "input", "out": "output"}


def directions(value: str) -> Sequence[str]:
    """ "in" and "out", or one of them."""
    return ("in", "out") if value in ("both", "") else (value,)


def peer_rules(addresses: Sequence[str], value: str) -> dict[str, list[str]]:
    """All that is exchanged by TCP with these addresses is lost, but for the registry's. Rules by direction."""
    side = {"in": "saddr", "out": "daddr"}
    return {
        direction: [f"ip {side[direction]} {address} {_NOT_REGISTRY} drop" for address in addresses]
        for direction in directions(value)
    }


def loss_rules(percent: int) -> dict[str, list[str]]:
    """A share of all packets is lost, both ways."""
    return {each: [f"numgen random mod 100 < {percent} drop"] for each in _HOOKS}


def rate_rules(kilobits: int) -> dict[str, list[str]]:
    """What comes faster is lost, as at the end of a narrow link without a queue."""
    return {each: [f"limit rate over {kilobits // 8} kbytes/second burst 16 kbytes drop"] for each in _HOOKS}


def table_text(name: str, rules: dict[str, list[str]]) -> str:
    """For `nft -f`; loopback is spared."""
    chains = []
    for direction, lines in rules.items():
        interface = "iifname" if direction == "in" else "oifname"
        body = "\n".join(f'    {interface} != "lo" {line}' for line in lines)
        hook = f"type filter hook {_HOOKS[direction]} priority raw; policy accept;"
        chains.append(f"  chain {direction} {{\n    {hook}\n{body}\n  }}")
    return f"table inet {name} {{\n" + "\n".join(chains) + "\n}\n"


@contextmanager
def packets_lost(namespace: str, rules: dict[str, list[str]]) -> Iterator[None]:
    """Rules of a namespace for as long as the block.

    Raises:
        CalledProcessError: the kernel does not accept them.
    """
    name = f"chaos{next(_NUMBERS)}"
    _nft(namespace, table_text(name, rules))
    try:
        yield
    finally:
        with suppress(subprocess.CalledProcessError):
            _nft(namespace, f"delete table inet {name}")


def _nft(namespace: str, text: str) -> None:
    command = ["nsenter", f"--net=/run/netns/{namespace}", "nft", "-f", "-"]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)
